fn main() {
    let text = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let l = harness::diagnose::load(&text, &[]).unwrap();
    let f = std::env::args().nth(2).map(|f| f.parse().unwrap());
    let j = harness::sim::rehearse(&l, harness::sim::began(&l.scenario, String::new(), vec![]), f, None);
    std::fs::write("/tmp/j.jsonl", j).unwrap();
}
