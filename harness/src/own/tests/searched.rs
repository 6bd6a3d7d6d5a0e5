//! Drills of a Milvus: golden queries, restarts that are none, and mistakes in its files.

use super::*;
use crate::own::event::{Answers, Searched};

fn stack() -> String {
    STACK
        .replace(
            "product = \"postgres\", dsn_env = \"DB_DSN\"",
            "product = \"milvus\", url = \"http://a:19530\"",
        )
        .replace("table = \"gameday_canary\"", "collection = \"gameday_canary\"")
        .replace("sql = \"select id from orders where at < $T0\"", "collection = \"docs\"")
        .replace("sql = \"select id from users\"", "command = { run = [\"./users\"] }")
}

fn drill() -> Drill {
    let milvus = "product = \"milvus\", url = \"http://b:19530\", token_env = \"SCRATCH_DSN\"";
    read(&DRILL.replace("product = \"postgres\", dsn_env = \"SCRATCH_DSN\"", milvus), &stack())
}

/// Hits as a place writes them.
fn hits(keys: &[u64]) -> String {
    keys.iter().map(|k| format!("{k:016x}")).collect()
}

/// What is answered to ten queries, of which some are answered otherwise.
fn searched(pass: Pass, others: u64) -> E {
    let hits = (0..10u64).map(|q| {
        let from = if q < others { 5000 } else { 100 * q };
        hits(&(from..from + 10).collect::<Vec<_>>())
    });
    let answers = vec![Answers { field: "vector".into(), hits: hits.collect() }];
    E::Searched(Box::new(Searched { witness: "orders".into(), pass, answers, none: None }))
}

fn mute(pass: Pass) -> E {
    let none = Some("it is not loaded".into());
    E::Searched(Box::new(Searched { witness: "orders".into(), pass, answers: Vec::new(), none }))
}

fn is_searched(pass: Pass) -> impl Fn(&E) -> bool {
    move |e| matches!(e, E::Searched(s) if s.pass == pass)
}

fn drilled() -> Vec<E> {
    let mut all = Vec::new();
    for e in played() {
        let pass = match &e {
            E::Witnessed(w) if w.witness == "orders" => Some(w.pass),
            _ => None,
        };
        all.push(e);
        all.extend(pass.filter(|p| !matches!(p, Pass::Empty | Pass::After)).map(|p| searched(p, 0)));
    }
    all
}

fn but(pass: Pass, by: Option<E>) -> Report {
    let mut all = drilled();
    let at = all.iter().position(is_searched(pass)).unwrap();
    match by {
        Some(by) => all[at] = by,
        None => drop(all.remove(at)),
    }
    judged_of(&drill(), all)
}

#[test]
fn a_drill_that_went_well_says_how_much_is_answered_as_before() {
    let report = judged_of(&drill(), drilled());
    let doubts: Vec<_> = report.findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
    assert_eq!(report.verdict, Verdict::Pass, "{doubts:?}");
    let answers = report.restore.unwrap().witnesses.into_iter().find_map(|w| w.answers).unwrap();
    assert_eq!((answers.asked, answers.restored, answers.restarted), (Some(10), Some(1.0), Some(1.0)));
}

#[test]
fn what_is_answered_otherwise_or_not_at_all_is_no_pass() {
    use Verdict::{Fail, Unknown};
    let table = [
        ("another answer", but(Pass::Restored, Some(searched(Pass::Restored, 1))), "quality", Fail),
        ("none", but(Pass::Restored, Some(mute(Pass::Restored))), "quality", Fail),
        ("nobody asked", but(Pass::Restored, None), "quality", Unknown),
        ("the source could not say", but(Pass::Before, Some(mute(Pass::Before))), "quality", Unknown),
        ("the source was not asked", but(Pass::Before, None), "quality", Unknown),
        ("never right", but(Pass::Restored, Some(searched(Pass::Restored, 9))), "rto", Fail),
        ("nobody knows", but(Pass::Restored, None), "rto", Unknown),
        ("lost by the restart", but(Pass::Restarted, Some(mute(Pass::Restarted))), "durable", Fail),
        ("worse since", but(Pass::Restarted, Some(searched(Pass::Restarted, 5))), "durable", Fail),
        ("not asked again", but(Pass::Restarted, None), "durable", Unknown),
    ];
    for (what, report, objective, expected) in table {
        assert_eq!(verdict(&report, objective), expected, "{what}: {:#?}", report.findings);
        assert_ne!(report.verdict, Verdict::Pass, "{what}");
    }
    let garbled = |e: E| {
        let E::Searched(mut s) = e else { unreachable!() };
        s.answers[0].hits[3].push('x');
        E::Searched(s)
    };
    let report = but(Pass::Restored, Some(garbled(searched(Pass::Restored, 0))));
    assert_eq!(verdict(&report, "conduct"), Unknown);
    let short = but(Pass::Restored, {
        let E::Searched(mut s) = searched(Pass::Restored, 0) else { unreachable!() };
        s.answers[0].hits.pop();
        Some(E::Searched(s))
    });
    assert_eq!(verdict(&short, "quality"), Unknown, "other queries than in the source");
}

#[test]
fn answers_are_as_good_as_their_ties_and_prove_nothing_where_any_would_do() {
    let of = |keys: Vec<u64>| hits(&keys);
    let share = |was: &[String], is: &[String]| {
        let answers = |hits: &[String]| Answers { field: "v".into(), hits: hits.to_vec() };
        answers(was).share(&answers(is))
    };
    // The tenth and four more are equally near: any of them will do.
    let tied = of((0..14).collect());
    assert_eq!(share(std::slice::from_ref(&tied), &[of((4..14).collect())]), Some((1.0, 1)));
    assert_eq!(share(std::slice::from_ref(&tied), &[of((4..9).collect())]), Some((0.5, 1)));
    // What comes after the tenth of the restored one counts for nothing, nor does a hit twice.
    let late: Vec<u64> = (100..110).chain(0..14).collect();
    assert_eq!(share(std::slice::from_ref(&tied), &[of(late)]), Some((0.0, 1)));
    assert_eq!(share(&[of(vec![1, 2])], &[of(vec![1, 1, 1])]), Some((0.5, 1)));
    // Nothing, and more than can be told apart.
    for says_nothing in [of(vec![]), of((0..100).collect())] {
        assert_eq!(share(std::slice::from_ref(&says_nothing), &[of(vec![])]), None);
        assert_eq!(share(&[says_nothing, of(vec![7])], &[of(vec![]), of(vec![7])]), Some((1.0, 1)));
    }
    assert_eq!(share(std::slice::from_ref(&tied), &[]), None);
}

#[test]
fn every_node_has_to_be_started_anew() {
    let told = |first: &str, last: &str| {
        let mut said = said(Place::Scratch, true, first);
        if let E::Identified(i) = &mut said {
            i.facts.insert("started_last".into(), last.into());
        }
        said
    };
    for (after, expected) in [("t3", Verdict::Pass), ("t2", Verdict::Unknown), ("t1", Verdict::Unknown)] {
        let mut all = drilled();
        for (from, by) in [("tuesday", told("t1", "t2")), ("wednesday", told(after, "t4"))] {
            let at = all.iter().position(|e| *e == said(Place::Scratch, true, from)).unwrap();
            all[at] = by;
        }
        assert_eq!(verdict(&judged_of(&drill(), all), "durable"), expected, "{after}");
    }
}

#[test]
fn mistakes_are_told_with_the_place_and_the_fix() {
    for (from, to, message) in [
        (", url = \"http://a:19530\"", "", "needs `url`"),
        ("http://a:19530", "a:19530", "no address"),
        ("url = \"http", "bucket = \"x\", url = \"http", "`bucket` is of no use to product `milvus`"),
        ("collection = \"docs\"", "collection = \"my docs\"", "no name of a collection"),
        ("collection = \"docs\"", "collection = \"gameday_canary\"", "no witness"),
        ("collection = \"docs\"", "collection = \"docs\", min_recall = 1.5", "this is no share"),
        ("run = [\"./users\"] }", "run = [\"./users\"] }, min_recall = 0.9", "nothing is searched for here"),
        ("collection = \"docs\"", "collection = \"docs\", prefix = \"x/\"", "asked in several ways"),
        ("collection = \"gameday_canary\"", "table = \"t\"", "`table` is of no use to product `milvus`"),
        (
            "[canary]",
            "[service.s]\nprobe = { search = { component = \"db\", collection = \"docs\", vector = [] } }\n[canary]",
            "this is no vector",
        ),
        (
            "[canary]",
            "[service.s]\nprobe = { search = { component = \"db\", collection = \"docs\", vector = [1], k = 0 } }\n[canary]",
            "nobody answers with so many",
        ),
        (
            "[canary]",
            "[service.s]\nprobe = { grpc_health = { url = \"localhost:1\" } }\n[canary]",
            "no address",
        ),
        (
            "[canary]",
            "[service.s]\nprobe = { grpc_health = { url = \"http://h:1\", ca_file = \"ca\" } }\n[canary]",
            "no certificate is looked at",
        ),
    ] {
        let text = stack().replacen(from, to, 1);
        assert_ne!(text, stack(), "{from}");
        let found = crate::own::stack(text.as_bytes()).unwrap_err();
        assert!(
            found.iter().any(|d| d.message.contains(message) && d.span.is_some()),
            "{message}: {found:?}"
        );
    }
}
