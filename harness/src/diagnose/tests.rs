use super::*;

const GOOD: &str = r#"
name = "x"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[load]
vector = "100/s"
object = "5/s"
[[service]]
name = "rag"
uses = ["vector"]
probe = { search = { k = 10 }, every = "50ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[[recover]]
when = "detected"
act = { restart = { node = "east/vector" } }
[objectives]
rto = "30s"
rpo = "0s"
"#;

fn messages(text: &str) -> Vec<String> {
    match load(text.as_bytes(), &[]) {
        Ok(_) => Vec::new(),
        Err(found) => found.into_iter().map(|d| d.message).collect(),
    }
}

#[test]
fn a_good_scenario_loads() {
    assert_eq!(messages(GOOD), Vec::<String>::new());
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = GOOD
        .replace("every = \"50ms\"", "evry = \"50ms\"")
        .replace("rto = \"30s\"", "rto = \"30 parsecs\"\nrpoo = 1")
        .replace("{ kill = { node = \"east/vector\" } }", "{ kil = { node = \"east/vector\" } }")
        .replace("restart = { node = \"east/vector\" }", "restart = { node = \"esat/vector\" }");
    let found = load(text.as_bytes(), &[]).unwrap_err();
    insta::assert_snapshot!(render("drill.toml", text.as_bytes(), &found, false));
}

#[test]
fn overrides_are_applied_and_checked() {
    let set = |path: &str, value: &str| load(GOOD.as_bytes(), &[(path.into(), value.into())]);
    assert_eq!(set("objectives.rto", "45s").unwrap().scenario.objectives.rto.unwrap().to_string(), "45s");
    assert_eq!(set("seed", "7").unwrap().scenario.seed, 7);
    assert_eq!(set("data.vectors", "{ count = 500, dim = 8 }").unwrap().scenario.data.vectors.count, 500);
    assert_eq!(set("recover.0.act", "{ none = {} }").unwrap().plan.cues[1].acts.len(), 0);
    for (path, value) in
        [("", "1"), ("fault.9.at", "1s"), ("seed.x", "1"), ("fault.0.att", "1s"), ("name", "../x")]
    {
        assert!(set(path, value).is_err(), "{path}={value}");
    }
}

#[test]
fn circles_and_unknown_steps_are_refused() {
    let circle = GOOD.replace("when = \"detected\"", "name = \"a\"\nafter = \"a\"");
    assert_eq!(messages(&circle), ["the step waits for itself"]);
    let unknown = GOOD.replace("when = \"detected\"", "after = \"fault-0-kil\"");
    assert_eq!(messages(&unknown), ["unknown step `fault-0-kil`"]);
}

#[test]
fn garbage_is_refused_without_panic() {
    let deep = format!("x = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let inline = "a = ".to_owned() + &"{ b = ".repeat(5_000);
    for bytes in
        [&b"\xff\xfe"[..], b"", b"=", b"[", b"name = ", deep.as_bytes(), inline.as_bytes(), &[0; 100]]
    {
        assert!(!load(bytes, &[]).unwrap_err().is_empty());
    }
    assert!(!load(&vec![b'a'; FILE_MAX + 1], &[]).unwrap_err().is_empty());
}

proptest::proptest! {
    #[test]
    fn any_cut_or_byte_change_is_read_or_refused(at in 0..GOOD.len(), byte: u8, cut: bool) {
        let mut bytes = GOOD.as_bytes().to_vec();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Err(found) = load(&bytes, &[]) {
            proptest::prop_assert!(!found.is_empty());
            render("x", &bytes, &found, false);
        }
    }
}

#[test]
fn a_feature_store_goes_back_in_time_with_its_log_alone_and_in_containers_alone() {
    let text = include_str!("../../../scenarios/docker/feature_moment.toml");
    assert_eq!(messages(text), Vec::<String>::new());
    let without_log = messages(&text.replace("incremental = [\"feature\"]", ""));
    assert_eq!(without_log, ["a feature node without its log goes back to no moment"]);
    let anywhere = messages(&text.replace("worlds = [\"docker\"]", ""));
    assert!(
        anywhere.iter().any(|m| m.contains("`feature` has full backups only"))
            && anywhere.iter().any(|m| m.contains("this `restore` can be done in world `docker` alone")),
        "{anywhere:?}"
    );
}

#[test]
fn worlds_are_those_that_gameday_launches() {
    let of = |world: &str| messages(&format!("worlds = [\"local\", \"{world}\"]\n{GOOD}"));
    assert_eq!(of("docker"), Vec::<String>::new());
    assert!(matches!(&of("own")[..], [one] if one.contains("`own` is a stack that gameday did not launch")));
    let unknown = of("cloud");
    assert!(
        unknown.len() == 1 && unknown[0].contains("`cloud`") && !unknown[0].contains("own`,"),
        "{unknown:?}"
    );
}

#[test]
fn engines_are_known_ones_that_the_world_has() {
    let mended = |engine: &str| {
        let rebuild = format!("rebuild = {{ node = \"east/vector\", engine = \"{engine}\" }}");
        // Who builds has to run.
        let struck = GOOD.replace("kill = {", "reload = {");
        struck.replace("restart = { node = \"east/vector\" }", &rebuild)
    };
    for engine in ["auto", "cpu", "opencl"] {
        load(mended(engine).as_bytes(), &[]).unwrap();
    }
    let unknown = messages(&mended("cuda"));
    assert!(unknown.len() == 1 && unknown[0].contains("`cuda`"), "{unknown:?}");
    let docker = |engine| format!("worlds = [\"docker\"]\n{}", mended(engine));
    assert_eq!(messages(&docker("auto")), Vec::<String>::new());
    assert_eq!(messages(&docker("opencl")), ["Milvus builds its indexes itself, and has no engine `opencl`"]);
}
