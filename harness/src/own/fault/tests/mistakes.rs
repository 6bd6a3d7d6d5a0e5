//! Files that cannot be a fault drill: every mistake with its fix.

use super::{DRILL, STACK};
use crate::own::fault;

#[test]
fn every_mistake_of_a_file_is_named_at_once() {
    let drill = r#"
kind = "fault"
name = "Wrong"
stack_file = "stack.toml"
service = ["none"]
witness = ["nothing"]
[[fault]]
name = "crash"
component = "cache"
inject = { command = { run = [] } }
observe = { run = ["./start"] }
[[fault]]
name = "crash"
component = "db"
for = "0s"
inject = { command = { run = ["./x"] } }
observe = { run = ["./x"] }
undo = { run = ["./start"] }
[[recover]]
name = "runbook"
after = "later"
act = { command = { run = ["./start"] } }
[[recover]]
name = "later"
when = "detected"
at = "1s"
component = "cache"
act = { command = { run = ["./start"] } }
[objectives]
rto = "0s"
rpo = "0s"
stable_for = "1s"
rto_of = { none = "1s" }
"#;
    let stack = crate::own::stack(STACK.as_bytes()).unwrap();
    let found = fault::drill(drill.as_bytes(), &[], |_| Ok(stack.clone())).unwrap_err();
    let said: String =
        found.iter().map(|d| format!("{} [{}]\n", d.message, d.hint.as_deref().unwrap_or("-"))).collect();
    for wanted in [
        "`Wrong` is not a plain name",
        "no program is named",
        "`undo` is missing",
        "does not allow drills on `cache`",
        "breaks 2 components, and the stack file allows 1",
        "it would act when it is to observe",
        "holds for no time",
        "two faults have one name",
        "there is no earlier step `later`",
        "nobody says what it mends",
        "nobody says when it is run",
        "no service that is asked uses `cache`",
        "there is no service `none`",
        "there is no witness `nothing`",
        "nothing comes back in no time",
        "there are none for cache",
    ] {
        assert!(said.contains(wanted), "{wanted}\n---\n{said}");
    }
    assert!(found.iter().all(|d| d.hint.is_some()), "{said}");
}

#[test]
fn in_production_nothing_is_broken_that_its_owner_does_not_name() {
    let production = STACK.replace("staging", "production").replace(
        "[component]",
        "[alarm]\nforbid_start = \"orders\"\nend_run = { probe = \"orders\", bad_for = \"40s\" }\n[component]",
    );
    let load = |stack: &str| {
        let stack = crate::own::stack(stack.as_bytes()).unwrap_or_else(|e| panic!("{e:?}"));
        fault::drill(DRILL.as_bytes(), &[], |_| Ok(stack.clone()))
    };
    let said = load(&production).unwrap_err().iter().map(|d| d.message.clone()).collect::<String>();
    assert!(
        said.contains("in production nothing is broken that the stack file does not name: `crash`"),
        "{said}"
    );
    assert!(
        load(&production.replace("components = [\"db\"]", "components = [\"db\"]\nfaults = [\"crash\"]"))
            .is_ok()
    );
}
