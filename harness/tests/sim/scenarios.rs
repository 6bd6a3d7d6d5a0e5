//! Small scenarios, one for each pattern and each kind of harm.

/// Every service that the roles allow; the stack and what happens to it come before and after.
fn stack(name: &str, stack: &str, roles: &[&str], more: &str) -> String {
    let quoted: Vec<String> = roles.iter().map(|r| format!("\"{r}\"")).collect();
    let mut text = format!("name = \"{name}\"\n[stack]\n{stack}\nroles = [{}]\n", quoted.join(", "));
    text +=
        "[data]\nvectors = { count = 600, dim = 8, queries = 200 }\nobjects = { count = 50, size = 64 }\n";
    text += "features = { entities = 400 }\n[load]\n";
    let rates = [("vector", "100/s"), ("object", "20/s"), ("feature", "100/s"), ("gpu", "20/s")];
    for (role, rate) in rates.iter().filter(|(role, _)| roles.contains(role)) {
        text += &format!("{role} = \"{rate}\"\n");
    }
    let services = [
        ("vector", "rag", "search = { k = 4 }"),
        ("object", "reporting", "get = {}"),
        ("feature", "recommendation", "lookup = {}"),
        ("gpu", "inference", "infer = {}"),
    ];
    for (role, service, probe) in services.iter().filter(|(role, ..)| roles.contains(role)) {
        text += &format!("[[service]]\nname = \"{service}\"\nuses = [\"{role}\"]\n");
        text += &format!("probe = {{ {probe}, every = \"50ms\", timeout = \"500ms\" }}\n");
    }
    text + more
}

const ALL: [&str; 4] = ["vector", "object", "feature", "gpu"];
const TWO: &str = "regions = [\"east\", \"west\"]";

fn pattern(pattern: &str, roles: &[&str], more: &str) -> String {
    stack(pattern, &format!("{TWO}\npattern = \"{pattern}\""), roles, more)
}

const REGION_LOST: &str = r#"
[[fault]]
name = "loss"
at = "3s"
inject = { region = { region = "east" } }
[[recover]]
when = "detected"
act = { failover = { to = "west" } }
"#;

const BACKUPS: &str = r#"
[backup]
full = ["vector", "feature"]
incremental = ["vector"]
every = "1s"
"#;

fn objectives(rpo: &str) -> String {
    let quality = "quality = 0.98\n";
    format!("[objectives]\nrto = \"20s\"\nrpo = \"{rpo}\"\n{quality}stable_for = \"1s\"\n")
}

/// The primary region is killed; the standby takes over.
pub(super) fn hot_standby() -> String {
    pattern("hot-standby", &ALL, &(REGION_LOST.to_owned() + &objectives("1s")))
}

/// The same, and no acknowledged write may be lost.
pub(super) fn hot_standby_sync() -> String {
    let roles = ["vector", "object", "feature"];
    pattern("hot-standby", &roles, &(REGION_LOST.to_owned() + &objectives("0s")))
        .replace("pattern = \"hot-standby\"", "pattern = \"hot-standby\"\nreplication = \"sync\"")
}

/// The primary region is killed; the standby is restored from its copy of the backups.
pub(super) fn warm_standby() -> String {
    let more = BACKUPS.to_owned() + REGION_LOST + &objectives("1m").replace("quality = 0.98\n", "");
    pattern("warm-standby", &ALL, &more)
}

/// The same, with a standby that has to be started first.
pub(super) fn cold_standby() -> String {
    warm_standby().replace("warm-standby", "cold-standby")
}

/// The regions no longer hear each other, both go on, and they find together again.
pub(super) fn active_active_split() -> String {
    let more = r#"
[[fault]]
at = "3s"
for = "4s"
inject = { split = { regions = ["east", "west"] } }
"#;
    pattern("active-active", &ALL, &(more.to_owned() + &objectives("0s")))
}

/// One of two equal regions is killed; nobody does anything.
pub(super) fn active_active_loss() -> String {
    let more = r#"
[[fault]]
at = "3s"
inject = { region = { region = "east" } }
"#;
    pattern("active-active", &["vector", "object", "feature"], &(more.to_owned() + &objectives("0s")))
}

/// A planned failover and the way back.
pub(super) fn there_and_back() -> String {
    let more = r#"
[[fault]]
at = "3s"
for = "3s"
inject = { region = { region = "east", how = "partition" } }
[[recover]]
name = "there"
when = "detected"
act = { failover = { to = "west" } }
[[recover]]
at = "8s"
name = "objects"
act = { rejoin = { node = "east/object" } }
[[recover]]
after = "objects"
name = "vectors"
act = { rejoin = { node = "east/vector" } }
[[recover]]
after = "vectors"
act = { failover = { to = "east" } }
"#;
    pattern("hot-standby", &["vector", "object"], &(more.to_owned() + &objectives("5s")))
}

const SINGLE: &str = "regions = [\"east\"]";

/// Values and definitions are altered, rows removed, and a role left behind; the store is audited and restored.
pub(super) fn compromise() -> String {
    let more = r#"
[backup]
full = ["feature"]
[[fault]]
name = "poison"
at = "3s"
inject = { corrupt = { node = "east/feature", what = "values", how = "shift", fraction = 0.9 } }
[[fault]]
after = "poison"
name = "removal"
inject = { corrupt = { node = "east/feature", what = "values", how = "delete", fraction = 0.2 } }
[[fault]]
after = "removal"
name = "definitions"
inject = { corrupt = { node = "east/feature", what = "definitions", how = "shift", fraction = 0.5 } }
[[fault]]
after = "definitions"
inject = { intrude = { node = "east/feature" } }
[[recover]]
name = "look"
when = "detected"
act = { audit = { node = "east/feature" } }
[[recover]]
after = "look"
act = { restore = { node = "east/feature" } }
[objectives]
rto = "5m"
rpo = "5m"
stable_for = "1s"
"#;
    stack("compromise", SINGLE, &["object", "feature"], more)
}

/// Only definitions and roles are touched, so that a good restore loses nothing.
pub(super) fn quiet_compromise() -> String {
    let more = r#"
[backup]
full = ["feature"]
[[fault]]
name = "definitions"
at = "3s"
inject = { corrupt = { node = "east/feature", what = "definitions", how = "delete", fraction = 0.5 } }
[[fault]]
after = "definitions"
inject = { intrude = { node = "east/feature" } }
[[recover]]
at = "4s"
act = { restore = { node = "east/feature" } }
[objectives]
rto = "5m"
rpo = "0s"
stable_for = "1s"
"#;
    stack("quiet-compromise", SINGLE, &["object", "feature"], more)
}

/// Workers are lost in the middle of a job, and started again.
pub(super) fn workers_lost(node: &str) -> String {
    let more = r#"
[[fault]]
at = "3s"
inject = { kill = { node = "NODE" } }
[[recover]]
at = "5s"
act = { restart = { node = "NODE" } }
[objectives]
rto = "10m"
rpo = "0s"
stable_for = "1s"
"#;
    stack("workers-lost", SINGLE, &["object", "gpu"], &more.replace("NODE", node))
}

/// The standby hears nothing any more, and takes over: what is fenced is safe, whatever it still wants to do.
pub(super) fn split_and_failover() -> String {
    let more = r#"
[[fault]]
at = "3s"
inject = { split = { regions = ["east", "west"] } }
[[recover]]
at = "4s"
act = { failover = { to = "west" } }
[objectives]
rto = "20s"
rpo = "3s"
stable_for = "5s"
"#;
    pattern("hot-standby", &["vector"], more)
}

/// The region is lost after a while; the standby has heard all of it.
pub(super) fn late_loss() -> String {
    let more = REGION_LOST.replace("3s", "10s") + &objectives("5s").replace("quality = 0.98\n", "");
    pattern("hot-standby", &["vector"], &more)
}

/// A fault before the region is lost makes the standby worthless.
pub(super) fn bad_standby(kind: &str, backups: &str, fault: &str) -> String {
    let fault = format!("[[fault]]\nat = \"2s\"\nname = \"hidden\"\ninject = {{ {fault} }}\n");
    let more = backups.to_owned() + &fault + &REGION_LOST.replace("3s", "6s") + &objectives("2s");
    let roles: &[&str] = if backups.is_empty() { &["vector"] } else { &["vector", "object", "feature"] };
    pattern(kind, roles, &more.replace("quality = 0.98\n", ""))
}

/// The backups that a standby would be restored from are gone bad.
pub(super) fn bad_backups() -> String {
    let fault = r#"corrupt = { node = "west/object", what = "backup", how = "flip", fraction = 0.1 }"#;
    bad_standby("cold-standby", BACKUPS, fault).replace("rpo = \"2s\"", "rpo = \"1m\"")
}

/// The values of the primary are poisoned through the store, and the standby has copied the poison.
pub(super) fn poisoned_standby() -> String {
    let more = r#"
[[fault]]
at = "3s"
inject = { corrupt = { node = "east/feature", what = "values", how = "forge", fraction = 0.8 } }
[[recover]]
when = "detected"
act = { failover = { to = "west" } }
[objectives]
rto = "10s"
stable_for = "1s"
"#;
    // Load would soon overwrite all of it.
    pattern("hot-standby", &["object", "feature"], more).replace("feature = \"100/s\"", "feature = \"5/s\"")
}
