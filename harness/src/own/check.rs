//! Mistakes in a stack file or a restore drill that types cannot see, each with its path in the file and the fix.

mod probe;
mod restore;

pub(super) use restore::restore;

use super::stack::{Canary, Command, Component, Level, Product, Stack, Witness};
use crate::diagnose::Problem;

pub(super) type Problems = Vec<Problem>;

pub(super) fn problem(
    out: &mut Problems,
    path: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) {
    out.push(Problem { path: path.into(), message: message.into(), hint: Some(hint.into()) });
}

/// Names that are safe in folders, labels and variables.
pub(super) fn name(out: &mut Problems, path: &str, name: &str) {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(ok);
    if !plain || name.len() > 64 {
        let hint = "use at most 64 lower-case letters, digits, `_` and `-`";
        problem(out, path, format!("`{name}` is not a plain name"), hint);
    }
}

/// A secret is named, never written down.
fn variable(out: &mut Problems, path: &str, name: &str) {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(ok) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = "write the name of a variable of the environment, such as DB_DSN; its value stays out of this file";
        problem(out, path, "this is no name of a variable", hint);
    }
}

/// All of a stack file.
pub(super) fn stack(s: &Stack) -> Problems {
    let mut out = Vec::new();
    name(&mut out, "name", &s.name);
    if s.component.is_empty() {
        problem(
            &mut out,
            "component",
            "the stack has no component",
            "add `db = { product = \"postgres\", .. }`",
        );
    }
    for (id, c) in &s.component {
        let path = format!("component.{id}");
        name(&mut out, &path, id);
        component(&mut out, &path, c);
        for (key, said) in [("same_server", c.same_server), ("started_by_restore", c.started_by_restore)] {
            if said {
                let at = format!("{path}.{key}");
                problem(&mut out, at, "only a scratch place may say that", "remove it here");
            }
        }
    }
    for (i, id) in s.allow.components.iter().enumerate() {
        known(&mut out, &format!("allow.components.{i}"), "component", id, s.component.keys());
    }
    alarms(&mut out, s);
    for (id, service) in &s.service {
        let path = format!("service.{id}");
        name(&mut out, &path, id);
        for (i, used) in service.uses.iter().enumerate() {
            known(&mut out, &format!("{path}.uses.{i}"), "component", used, s.component.keys());
        }
        probe::probe(&mut out, &format!("{path}.probe"), &service.probe, s);
    }
    for (id, c) in &s.canary {
        let path = format!("canary.{id}");
        if known(&mut out, &path, "component", id, s.component.keys()) {
            canary(&mut out, &path, c, s.component[id].product);
        }
    }
    told(&mut out, s);
    for (id, w) in &s.witness {
        let path = format!("witness.{id}");
        name(&mut out, &path, id);
        let at = format!("{path}.component");
        if known(&mut out, &at, "component", &w.component, s.component.keys()) {
            witness(&mut out, &path, w, s.component[&w.component].product);
            let canaries = s.canary.get(&w.component).and_then(|c| c.collection.as_ref());
            if w.collection.is_some() && w.collection.as_ref() == canaries {
                let hint = "name a collection of users: canaries are compared anyway";
                problem(
                    &mut out,
                    format!("{path}.collection"),
                    "the canaries of gameday are no witness",
                    hint,
                );
            }
        }
    }
    out
}

/// Commands that ask a place are told of that place by its variables: with those of a component they could ask the source
/// when they are to ask the scratch place.
fn told(out: &mut Problems, s: &Stack) {
    let witnesses =
        s.witness.iter().filter_map(|(id, w)| Some((format!("witness.{id}.command"), w.command.as_ref()?)));
    let canaries = s.canary.iter().flat_map(|(id, c)| {
        let all = [("plant", &c.plant), ("list", &c.list), ("remove", &c.remove)];
        all.into_iter().filter_map(move |(key, c)| Some((format!("canary.{id}.{key}"), c.as_ref()?)))
    });
    for (path, c) in witnesses.chain(canaries) {
        for (i, v) in c.env.iter().enumerate() {
            let owner = s.component.iter().find(|(_, c)| c.secrets().contains(v)).map(|(id, _)| id);
            if let Some(owner) = owner {
                let hint = "leave it out: the command is given the variables of the place that it is to ask, which are \
                            GAMEDAY_DSN for `postgres`, GAMEDAY_URL, GAMEDAY_BUCKET, GAMEDAY_ACCESS_KEY and GAMEDAY_SECRET_KEY \
                            for `s3`, GAMEDAY_URL, GAMEDAY_TOKEN and GAMEDAY_DATABASE for `milvus`, and those of `env` for `command`";
                problem(
                    out,
                    format!("{path}.env.{i}"),
                    format!("`{v}` always opens component `{owner}`"),
                    hint,
                );
            }
        }
    }
}

pub(super) fn known<'a>(
    out: &mut Problems,
    path: &str,
    what: &str,
    id: &str,
    all: impl Iterator<Item = &'a String>,
) -> bool {
    let all: Vec<String> = all.cloned().collect();
    if all.iter().any(|k| k == id) {
        return true;
    }
    let near =
        crate::diagnose::closest(id, &all).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
    let there = if all.is_empty() { "there is none".into() } else { format!("there are {}", all.join(", ")) };
    problem(out, path, format!("there is no {what} `{id}`"), format!("{near}{there}"));
    false
}

pub(super) fn component(out: &mut Problems, path: &str, c: &Component) {
    let there: [(&str, bool, &[Product], bool); 7] = [
        ("dsn_env", c.dsn_env.is_some(), &[Product::Postgres], true),
        ("url", c.url.is_some(), &[Product::S3, Product::Milvus], true),
        ("bucket", c.bucket.is_some(), &[Product::S3], true),
        ("keys_env", c.keys_env.is_some(), &[Product::S3], true),
        ("token_env", c.token_env.is_some(), &[Product::Milvus], false),
        ("database", c.database.is_some(), &[Product::Milvus], false),
        ("env", !c.env.is_empty(), &[Product::Command], false),
    ];
    for (key, given, of, required) in there {
        if given && !of.contains(&c.product) {
            let message = format!("`{key}` is of no use to product `{}`", c.product.word());
            let words: Vec<String> = of.iter().map(|p| format!("`{}`", p.word())).collect();
            problem(
                out,
                format!("{path}.{key}"),
                message,
                format!("it belongs to product {}", words.join(" or ")),
            );
        }
        if !given && required && of.contains(&c.product) {
            let message = format!("a component of product `{}` needs `{key}`", c.product.word());
            problem(out, path, message, format!("add `{key} = ..`"));
        }
    }
    if c.database.as_deref().is_some_and(str::is_empty) {
        let hint = "leave it out for the server's default";
        problem(out, format!("{path}.database"), "this names no database", hint);
    }
    for secret in c.secrets() {
        variable(out, path, &secret);
    }
    if let Some(url) = &c.url {
        self::url(out, &format!("{path}.url"), url);
    }
}

fn url(out: &mut Problems, path: &str, url: &str) {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        None => problem(out, path, "this is no address", "write http://host:port or https://host:port"),
        Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
            let hint = "name the variable that holds it instead: this file is no place for secrets";
            problem(out, path, "a password stands in this address", hint);
        }
        Some(rest) if rest.is_empty() || rest.starts_with('/') || url.contains(char::is_whitespace) => {
            problem(out, path, "this address names no host", "write http://host:port/path");
        }
        Some(_) => {}
    }
}

fn alarms(out: &mut Problems, s: &Stack) {
    let ends = s.alarm.end_run.as_ref();
    for (path, id) in [
        ("alarm.forbid_start", s.alarm.forbid_start.as_ref()),
        ("alarm.end_run.probe", ends.map(|e| &e.probe)),
    ] {
        if let Some(id) = id {
            known(out, path, "service", id, s.service.keys());
        }
    }
    if let Some(end) = ends
        && let Some(service) = s.service.get(&end.probe)
        && service.probe.every.us().saturating_mul(2) > end.bad_for.us()
    {
        let hint = format!(
            "ask it at least every half of `bad_for`, or say a longer `bad_for` than {}",
            end.bad_for
        );
        problem(out, "alarm.end_run.bad_for", "the service is asked too rarely to see that", hint);
    }
    if s.level == Level::Production && (s.alarm.forbid_start.is_none() || ends.is_none()) {
        let hint = "add to [alarm] both `forbid_start = \"SERVICE\"` and `end_run = { probe = \"SERVICE\", bad_for = \"30s\" }`";
        problem(out, "level", "in production nothing is begun without two alarms", hint);
    }
}

fn program(out: &mut Problems, path: &str, run: &[String]) {
    if run.first().is_none_or(String::is_empty) {
        problem(
            out,
            path,
            "no program is named",
            "write the program and its arguments: [\"./restore.sh\", \"db\"]",
        );
    }
}

pub(super) fn command(out: &mut Problems, path: &str, c: &Command) {
    program(out, &format!("{path}.run"), &c.run);
    c.env.iter().for_each(|v| variable(out, &format!("{path}.env"), v));
    if c.limit.us() == 0 {
        problem(out, format!("{path}.limit"), "nothing is done in no time", "give it at least 1s");
    }
}

fn canary(out: &mut Problems, path: &str, c: &Canary, product: Product) {
    let there = [
        ("table", c.table.is_some(), Product::Postgres, true),
        ("dsn_env", c.dsn_env.is_some(), Product::Postgres, false),
        ("prefix", c.prefix.is_some(), Product::S3, true),
        ("collection", c.collection.is_some(), Product::Milvus, true),
        ("plant", c.plant.is_some(), Product::Command, true),
        ("list", c.list.is_some(), Product::Command, true),
        ("remove", c.remove.is_some(), Product::Command, true),
    ];
    for (key, given, of, required) in there {
        if given && product != of {
            let message = format!("`{key}` is of no use to product `{}`", product.word());
            problem(out, format!("{path}.{key}"), message, format!("it belongs to product `{}`", of.word()));
        }
        if !given && required && product == of {
            let message = format!("canaries of product `{}` need `{key}`", of.word());
            problem(out, path, message, format!("add `{key} = ..`"));
        }
    }
    if let Some(table) = &c.table {
        let part = |p: &str| {
            p.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        let parts: Vec<&str> = table.split('.').collect();
        if parts.len() > 2 || table.len() > 120 || !parts.into_iter().all(part) {
            let hint = "write `gameday_canary` or `schema.gameday_canary`, in lower case";
            problem(out, format!("{path}.table"), "this is no plain name of a table", hint);
        }
    }
    if let Some(name) = &c.collection {
        collection(out, &format!("{path}.collection"), name);
    }
    if c.prefix.as_ref().is_some_and(|p| p.len() < 3 || !p.ends_with('/') || p.starts_with('/')) {
        let hint = "write a folder of its own, such as `gameday-canary/`";
        problem(out, format!("{path}.prefix"), "this is no place of its own", hint);
    }
    c.dsn_env.iter().for_each(|v| variable(out, &format!("{path}.dsn_env"), v));
    for (key, c) in [("plant", &c.plant), ("list", &c.list), ("remove", &c.remove)] {
        if let Some(c) = c {
            command(out, &format!("{path}.{key}"), c);
        }
    }
}

/// A name of a collection, as Milvus takes them.
fn collection(out: &mut Problems, path: &str, name: &str) {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = name.chars().all(ok) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !plain || name.len() > 255 {
        let hint = "use letters, digits and `_`, and begin with no digit";
        problem(out, path, "this is no name of a collection", hint);
    }
}

fn witness(out: &mut Problems, path: &str, w: &Witness, product: Product) {
    let kinds = [
        ("sql", w.sql.is_some(), Some(Product::Postgres)),
        ("prefix", w.prefix.is_some(), Some(Product::S3)),
        ("collection", w.collection.is_some(), Some(Product::Milvus)),
        ("command", w.command.is_some(), None),
    ];
    let given: Vec<_> = kinds.into_iter().filter(|(_, there, _)| *there).collect();
    if given.len() != 1 {
        let message = match given.len() {
            0 => "the witness says nothing".to_owned(),
            _ => "the witness is asked in several ways".to_owned(),
        };
        let hint = "give it one of `sql` (postgres), `prefix` (s3; \"\" is all of the bucket), `collection` (milvus), `command` \
                    (any product)";
        problem(out, path, message, hint);
    }
    for (key, _, of) in given {
        if of.is_some_and(|of| of != product) {
            let message = format!("`{key}` cannot be asked of product `{}`", product.word());
            problem(
                out,
                format!("{path}.{key}"),
                message,
                "ask it by a `command`, or name another component",
            );
        }
    }
    if let Some(c) = &w.command {
        command(out, &format!("{path}.command"), c);
    }
    if let Some(name) = &w.collection {
        collection(out, &format!("{path}.collection"), name);
    }
    if w.min_recall.is_some() && w.collection.is_none() {
        let hint = "it belongs to a witness with a `collection`";
        problem(out, format!("{path}.min_recall"), "nothing is searched for here", hint);
    }
    if w.min_recall.is_some_and(|r| !(r > 0.0 && r <= 1.0)) {
        let hint = "write a share of the source's answers, such as 0.95";
        problem(out, format!("{path}.min_recall"), "this is no share", hint);
    }
    if w.sql.as_ref().is_some_and(|q| q.trim().is_empty() || q.contains(';')) {
        let hint = "write one query, without a semicolon, such as `select id, total from orders where created_at < $T0`";
        problem(out, format!("{path}.sql"), "this is not one query", hint);
    }
}
