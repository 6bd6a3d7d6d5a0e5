//! `gameday plan` of a drill on a stack that gameday did not launch: what would be asked, run and emptied, in which order, and with which variables.

use harness::own::{
    Drill,
    fault::RecoverAct,
    stack::{Command, Component, Product, Stack},
};

use super::{AnyDrill, Loaded};

/// For people.
pub(crate) fn text(loaded: &Loaded) -> String {
    match &loaded.drill {
        AnyDrill::Restore(drill) => restore(drill),
        AnyDrill::Fault(drill) => fault(drill),
    }
}

fn fault(drill: &harness::own::fault::Drill) -> String {
    let (f, stack) = (&drill.fault, &drill.stack);
    let level = harness::ports::CountsAs::from(stack.level);
    let mut text = format!("{} on stack {} ({level})\n", f.name, stack.name);
    let mut line = |what: &str, how: String| text.push_str(&format!("  {what:<10} {how}\n"));
    alarms(&mut line, stack);
    for (id, service) in drill.services() {
        let probe = service.probe.kinds().join(", ");
        let (every, rto) = (service.probe.every, drill.rto(id));
        line("service", format!("{id}: asked by {probe} every {every}; may be gone {rto}"));
    }
    for (id, w) in drill.witnesses() {
        line("witness", format!("{id} of {}: read before, after recovery, and after the undo", w.component));
    }
    for id in drill.planted() {
        line("canaries", format!("{} planted in {id} while the drill runs", stack.canary[id].rate));
    }
    for step in &f.fault {
        let hold = step.hold.map_or("until the end of the drill".to_owned(), |d| format!("for {d}"));
        line("fault", format!("{} at {} breaks {}, {hold}", step.name, step.at, step.component));
        let all = [
            ("inject", Some(step.inject.command())),
            ("observe", step.observe.as_ref()),
            ("undo", step.undo.as_ref()),
        ];
        for (what, c) in all {
            line("", format!("  {what:<8} {}", c.map_or("-".into(), command)));
        }
    }
    for step in &f.recover {
        let when = match (&step.after, step.at) {
            (Some(after), _) => format!("after {after}"),
            (None, Some(at)) => format!("at {at}"),
            (None, None) => "once a service is detected as down".into(),
        };
        line(
            "recover",
            match &step.act {
                RecoverAct::None {} => format!("{}: nothing is done; does it heal itself?", step.name),
                RecoverAct::Command(c) => format!("{} {when}: {}", step.name, command(c)),
            },
        );
    }
    line("at the end", "every fault is undone and looked for, the last first, whatever came before".into());
    text
}

fn alarms(line: &mut impl FnMut(&str, String), stack: &Stack) {
    if let Some(service) = &stack.alarm.forbid_start {
        line("alarm", format!("nothing begins unless {service} answers well for 5 s"));
    }
    if let Some(end) = &stack.alarm.end_run {
        line("alarm", format!("the run is given up once {} was bad for {}", end.probe, end.bad_for));
    }
}

fn restore(drill: &Drill) -> String {
    let (r, stack) = (&drill.restore, &drill.stack);
    let level = harness::ports::CountsAs::from(stack.level);
    let mut text = format!("{} on stack {} ({level})\n", r.name, stack.name);
    let mut line = |what: &str, how: String| text.push_str(&format!("  {what:<10} {how}\n"));
    let canary = match drill.canary() {
        Some(_) => "asked, and never written but for canaries of the run, each removed at once",
        None => "asked, and never written",
    };
    line("source", format!("{} ({}): {canary}", r.source, place(drill.source())));
    line("scratch", format!("{}: emptied, filled, read, emptied", place(&r.scratch)));
    alarms(&mut line, stack);
    let witnesses: Vec<&str> = drill.witnesses().map(|(id, _)| id.as_str()).collect();
    let witnesses = witnesses.join(", ");
    line("1 prove", "source and scratch are two places; else nothing more is done".into());
    line("2 clean up", command(&r.cleanup));
    line(
        "3 read",
        format!("of the source: {witnesses}; what reads the same in the empty scratch place proves nothing"),
    );
    line("4 restore", format!("{}; the RTO of {} begins", command(&r.restore), r.objectives.rto));
    line(
        "5 read",
        format!("of the scratch place, until it is right or {} have passed: {witnesses}", r.settle()),
    );
    if let Some(restart) = &r.restart {
        line("6 restart", format!("{}; then all of it is read again", command(restart)));
    }
    line("7 prove", "once more, then a mark on the copy".into());
    line("8 clean up", command(&r.cleanup));
    line("9 read", format!("of the source, which has to be as it was: {witnesses}"));
    text
}

fn command(c: &Command) -> String {
    let with = match c.env.len() {
        0 => String::new(),
        _ => format!(" with {}", c.env.join(", ")),
    };
    format!("{}{with}, at most {}", c.run.join(" "), c.limit)
}

fn place(c: &Component) -> String {
    let variables: Vec<String> = c.secrets().iter().map(|name| format!("${name}")).collect();
    let at = match c.product {
        Product::S3 => format!(" {}/{}", c.url.as_deref().unwrap_or(""), c.bucket.as_deref().unwrap_or("")),
        Product::Milvus => {
            let database = c.database.as_ref().map(|name| format!(", database {name}"));
            format!(" {}{}", c.url.as_deref().unwrap_or(""), database.unwrap_or_default())
        }
        Product::Postgres | Product::Command => String::new(),
    };
    match variables.is_empty() {
        true => format!("{}{at}", c.product.word()),
        false => format!("{}{at}, {}", c.product.word(), variables.join(" ")),
    }
}
