use proptest::prelude::*;

use super::*;

/// To digits that every reader of JSON gets right.
fn round_off(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// A result as a quiet machine would give it: ours is ten times faster and as good.
pub(in crate::rebuild) fn sample() -> Results {
    let build = |seconds: f64, round: u32| BuildFigures {
        seconds: round_off(seconds * (1.0 + f64::from(round) * 0.01)),
        write_seconds: 0.1,
        cpu_seconds: round_off(seconds * 1.9),
        foreign_seconds: round_off(0.02 * seconds),
        stolen_seconds: 0.0,
        peak_bytes: 400 << 20,
        before_bytes: 120 << 20,
        file_bytes: 132 << 20,
        file_digest: "ab".repeat(32),
        ran: None,
    };
    let searches = |shift: f64, speed: f64| {
        let curve = [(16, 0.86, 20e3), (32, 0.93, 13e3), (64, 0.965, 8e3), (128, 0.985, 4.5e3)];
        let at = |(setting, recall, qps): (u32, f64, f64)| SearchFigures {
            setting,
            recall: vec![round_off(recall + shift); 5],
            qps: (0..5).map(|r| round_off(qps * speed * (1.0 + f64::from(r) * 0.002))).collect(),
        };
        curve.into_iter().map(at).collect::<Vec<_>>()
    };
    let one = |name: &str, ours, seconds, shift, speed| ContenderResult {
        name: name.into(),
        kind: "hnsw".into(),
        ours,
        params: "M=16 efC=200".into(),
        searcher: Some("hnswlib".into()),
        builds: (0..5).map(|r| build(seconds, r)).collect(),
        searches: searches(shift, speed),
        failed: None,
    };
    let ran = |mut c: ContenderResult, words: &str| {
        c.builds.iter_mut().for_each(|b| b.ran = Some(words.into()));
        c
    };
    let mut broken = one("usearch", false, 52.0, 0.0, 1.0);
    broken.searches.clear();
    broken.builds.truncate(2);
    broken.failed = Some("ended with signal 9".into());
    Results {
        schema: SCHEMA.into(),
        gameday: "0.1.0".into(),
        began: 1_795_390_000,
        machine: Machine {
            cpu: "Testium 9000".into(),
            features: "avx2 avx512f".into(),
            cores: 2,
            memory: 24 << 30,
            kernel: "6.1.0".into(),
            device: Some("fp32 float16 vectors on testium (Portable Computing Language)".into()),
        },
        rounds: 5,
        threads: 2,
        peers: [("hnswlib".to_owned(), "0.8.0".to_owned()), ("usearch".into(), "2.26.6".into())].into(),
        skipped: vec!["data set glove-100: it was never fetched".into()],
        start: Some(StartFigures {
            dim: 128,
            cold_seconds: vec![0.61, 0.58, 0.64, 0.6, 0.59],
            cached_seconds: vec![0.09, 0.1, 0.08, 0.09, 0.11],
        }),
        sets: vec![SetResult {
            name: "clustered-128".into(),
            vectors: 200_000,
            dim: 128,
            queries: 2_000,
            digest: "cd".repeat(32),
            own: None,
            contenders: vec![
                ran(one("gameday-opencl", true, 2.8, 0.002, 0.99), "opencl, fp32 float16 vectors on testium"),
                ran(one("gameday-cpu", true, 40.0, 0.001, 1.01), "cpu, fp32 avx512"),
                one("hnswlib", false, 28.0, 0.0, 1.0),
                broken,
            ],
        }],
    }
}

#[test]
fn a_result_reads_back_as_it_was() {
    let r = sample();
    assert_eq!(Results::parse(r.to_json().as_bytes()).unwrap(), r);
}

#[test]
fn garbage_is_refused_in_one_clear_line() {
    let good = sample().to_json();
    let refused = |text: &str| Results::parse(text.as_bytes()).unwrap_err();
    assert!(refused("").contains("EOF"));
    assert!(refused("[1, 2]").contains("expected struct") || refused("[1, 2]").contains("invalid type"));
    assert!(refused("{}").contains("missing field `schema`"));
    let old = refused(&good.replace(SCHEMA, "gameday-bench-index/0"));
    assert!(old.contains("bench-index/0") && old.contains(SCHEMA), "{old}");
    assert!(refused(&good[..good.len() / 2]).contains("EOF"));
    let odd = refused(&good.replacen("\"rounds\"", "\"laps\"", 1));
    assert!(odd.contains("laps"), "{odd}");
    let mut r = sample();
    r.sets[0].contenders[0].builds[1].seconds = 0.0;
    assert!(refused(&r.to_json()).contains("gameday-opencl hnsw on clustered-128: a build of 0 seconds"));
    let mut r = sample();
    r.sets[0].contenders[0].searches[1].recall[0] = 1.5;
    assert!(refused(&r.to_json()).contains("a recall of 1.5 at setting 32"));
    let mut r = sample();
    r.sets[0].contenders[0].builds[3].ran = Some("cpu, fp32 avx512".into());
    assert!(refused(&r.to_json()).contains("a build that another engine did"));
    let mut r = sample();
    r.sets.push(r.sets[0].clone());
    assert!(refused(&r.to_json()).contains("data set clustered-128 is there twice"));
    let mut r = sample();
    r.sets[0].contenders[1].name = "hnswlib".into();
    assert!(refused(&r.to_json()).contains("hnswlib hnsw on clustered-128 is there twice"));
    let mut r = sample();
    r.start.as_mut().unwrap().cold_seconds[1] = -1.0;
    assert!(refused(&r.to_json()).contains("a start of -1 seconds"));
    let mut r = sample();
    r.sets[0].contenders[2].searches[0].qps.pop();
    assert!(refused(&r.to_json()).contains("5 recalls and 4 speeds"));
}

#[test]
fn another_machine_is_named() {
    let here = sample().machine;
    let other = Machine { cores: 64, device: Some("a GPU".into()), ..here.clone() };
    let differs = here.differs(&other).unwrap();
    assert!(differs.starts_with("cores: 2 now, 64 then; device: fp32 float16"), "{differs}");
    assert!(differs.ends_with("now, a GPU then"), "{differs}");
    // Where no engine took part, nobody knows the device.
    assert_eq!(here.differs(&Machine { device: None, ..here.clone() }), None);
    assert_eq!(here.differs(&Machine { kernel: "7".into(), ..here.clone() }), None);
}

proptest! {
    #[test]
    fn no_damage_makes_reading_panic(at in 0usize..4000, byte: u8) {
        let mut bytes = sample().to_json().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Results::parse(&bytes);
        let _ = Results::parse(&bytes[..at]);
    }
}
