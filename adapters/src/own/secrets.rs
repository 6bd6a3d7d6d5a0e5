//! Values of the variables that files name, and how they are kept out of everything that is written.

use std::collections::{BTreeMap, BTreeSet};

use harness::own::{
    Drill, fault,
    stack::{Canary, Command, Component, Service, Stack},
};

/// Values by the names of their variables.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// Whatever must not be written, the longest first, with the variable that it comes from.
    hidden: Vec<(String, String)>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("names", &self.values.keys()).finish_non_exhaustive()
    }
}

/// All variables that a stack's file names.
fn of_stack(s: &Stack) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = s.component.values().flat_map(Component::secrets).collect();
    names.extend(s.service.values().flat_map(of_probe));
    names.extend(s.canary.values().flat_map(of_canary));
    names.extend(s.witness.values().filter_map(|w| w.command.as_ref()).flat_map(|c| c.env.clone()));
    names
}

/// The variables of a service's probe.
fn of_probe(service: &Service) -> Vec<String> {
    let headers = service.probe.http.iter().flat_map(|h| h.headers.values());
    let command = service.probe.command.iter().flat_map(|c| c.env.clone());
    command.chain(headers.flat_map(|v| variables(v))).collect()
}

/// The variables of a component's canaries.
fn of_canary(c: &Canary) -> Vec<String> {
    let commands = [&c.plant, &c.list, &c.remove].into_iter().flatten().flat_map(|c| c.env.clone());
    c.dsn_env.iter().cloned().chain(commands).collect()
}

impl Secrets {
    /// Those of a stack and a drill. `env` answers with a variable's value.
    ///
    /// # Errors
    /// The names that have no value and are needed for this drill, all at once.
    pub fn of_drill(drill: &Drill, env: impl Fn(&str) -> Option<String>) -> Result<Secrets, Vec<String>> {
        let r = &drill.restore;
        let commands: Vec<&Command> = [&r.restore, &r.cleanup].into_iter().chain(&r.restart).collect();
        let mut needed: BTreeSet<String> =
            drill.source().secrets().into_iter().chain(r.scratch.secrets()).collect();
        needed.extend(commands.iter().flat_map(|c| c.env.clone()));
        needed.extend(drill.canary().into_iter().flat_map(of_canary));
        needed.extend(drill.witnesses().filter_map(|(_, w)| w.command.as_ref()).flat_map(|c| c.env.clone()));
        let mut wanted = of_stack(&drill.stack);
        wanted.extend(needed.iter().cloned());
        Secrets::read(&wanted, &needed, env)
    }

    /// Those of a stack and a fault drill.
    ///
    /// # Errors
    /// The names that have no value and are needed for this drill, all at once.
    pub fn of_fault(
        drill: &fault::Drill,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, Vec<String>> {
        let stack = &drill.stack;
        let mut needed: BTreeSet<String> =
            super::fault::heal::commands(drill).into_iter().flat_map(|c| c.env.clone()).collect();
        let mut asked: BTreeSet<&String> = drill.planted().into_iter().collect();
        needed.extend(asked.iter().filter_map(|id| stack.canary.get(*id)).flat_map(of_canary));
        for (_, w) in drill.witnesses() {
            asked.insert(&w.component);
            needed.extend(w.command.iter().flat_map(|c| c.env.clone()));
        }
        for (_, service) in drill.services() {
            needed.extend(of_probe(service));
            asked.extend(service.probe.sql.as_ref().map(|q| &q.component));
            asked.extend(service.probe.s3.as_ref().map(|q| &q.component));
            asked.extend(service.probe.search.as_ref().map(|q| &q.component));
        }
        needed.extend(asked.iter().filter_map(|id| stack.component.get(*id)).flat_map(Component::secrets));
        let wanted = of_stack(stack).union(&needed).cloned().collect();
        Secrets::read(&wanted, &needed, env)
    }

    /// Those that undo the faults of a drill.
    ///
    /// # Errors
    /// The names that have no value and are needed, all at once.
    pub fn of_undo(
        drill: &fault::Drill,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, Vec<String>> {
        let commands = drill.fault.fault.iter().flat_map(|f| [&f.observe, &f.undo]).flatten();
        let needed = commands.flat_map(|c| c.env.clone()).collect();
        let wanted = of_stack(&drill.stack).union(&needed).cloned().collect();
        Secrets::read(&wanted, &needed, env)
    }

    /// Those of some components of a stack.
    ///
    /// # Errors
    /// The names that have no value and are needed.
    pub fn of_canaries(
        stack: &Stack,
        components: &[&String],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, Vec<String>> {
        let of = |id: &&&String| stack.component.get(**id).map(Component::secrets).unwrap_or_default();
        let mut needed: BTreeSet<String> = components.iter().flat_map(|id| of(&id)).collect();
        needed.extend(components.iter().filter_map(|id| stack.canary.get(*id)).flat_map(of_canary));
        let wanted = of_stack(stack).union(&needed).cloned().collect();
        Secrets::read(&wanted, &needed, env)
    }

    fn read(
        wanted: &BTreeSet<String>,
        needed: &BTreeSet<String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, Vec<String>> {
        let found =
            wanted.iter().filter_map(|name| Some((name.clone(), env(name).filter(|v| !v.is_empty())?)));
        let values: BTreeMap<String, String> = found.collect();
        let missing: Vec<String> = needed.iter().filter(|n| !values.contains_key(*n)).cloned().collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let of = |(name, value): (&String, &String)| {
            let name = format!("${name}");
            parts(value).into_iter().map(move |part| (part, name.clone())).collect::<Vec<_>>()
        };
        let mut hidden: Vec<(String, String)> = values.iter().flat_map(of).collect();
        hidden.sort_by_key(|(value, name)| (std::cmp::Reverse(value.len()), value.clone(), name.clone()));
        hidden.dedup_by(|a, b| a.0 == b.0);
        Ok(Secrets { values, hidden })
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A text with the values of the variables that it names as `$NAME`.
    ///
    /// # Errors
    /// The variable that has none.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = text.to_owned();
        for name in variables(text) {
            let value = self.get(&name).ok_or_else(|| format!("{name} is not set"))?;
            filled = filled.replacen(&format!("${name}"), value, 1);
        }
        Ok(filled)
    }

    /// A text with the names of variables in the place of their values.
    pub fn hide(&self, text: &str) -> String {
        let hidden = self.hidden.iter().filter(|(secret, _)| text.contains(secret.as_str()));
        hidden.fold(text.to_owned(), |text, (secret, name)| text.replace(secret.as_str(), name))
    }

    /// The length of the longest of them, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.hidden.first().map_or(0, |(secret, _)| secret.len())
    }
}

/// The variables that a text names as `$NAME`, in order.
fn variables(text: &str) -> Vec<String> {
    let name =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    text.split('$').skip(1).map(name).filter(|n| !n.is_empty()).collect()
}

/// What is shorter is no secret, and would be hidden in every number.
const SHORTEST: usize = 4;
/// The same for a password that stands in a connection string.
const SHORTEST_PASSWORD: usize = 3;

/// A value, and the password in it if it is a connection string, as it is written there and as it is meant.
fn parts(value: &str) -> Vec<String> {
    let mut passwords: Vec<String> = Vec::new();
    if let Some((_, rest)) = value.split_once("://") {
        // Whoever forgets to encode a `/` has a password that reaches to the last `@`.
        for authority in [rest.split(['/', '?']).next().unwrap_or(""), rest] {
            let password =
                authority.rsplit_once('@').and_then(|(user, _)| Some(user.split_once(':')?.1.to_owned()));
            passwords.extend(password);
        }
    }
    // `password=..`, as parameters of an address or words of a connection string, whatever else stands there.
    let lower = value.to_ascii_lowercase();
    for key in ["password", "passwd", "pwd", "secret"] {
        for (at, _) in lower.match_indices(key) {
            let Some(rest) = value.get(at + key.len()..).and_then(|r| r.trim_start().strip_prefix('='))
            else {
                continue;
            };
            let rest = rest.trim_start();
            let end: &[char] = if rest.starts_with('\'') { &['\''] } else { &['&', ';', ' '] };
            passwords.extend(rest.trim_start_matches('\'').split(end).next().map(str::to_owned));
        }
    }
    if let Ok(config) = value.parse::<tokio_postgres::Config>() {
        passwords.extend(config.get_password().map(|p| String::from_utf8_lossy(p).into_owned()));
    }
    let decoded: Vec<String> = passwords.iter().map(|p| percent_decoded(p)).collect();
    passwords.extend(decoded);
    passwords.retain(|p| p.trim().len() >= SHORTEST_PASSWORD);
    // A line break in a secret never reaches a line of output.
    let mut all: Vec<String> = value.lines().chain([value]).map(str::to_owned).collect();
    all.retain(|s| s.trim().len() >= SHORTEST);
    all.extend(passwords);
    all
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::new(), 0);
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => (out, i) = ([out, vec![byte]].concat(), i + 3),
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let names: BTreeSet<String> = values.iter().map(|(n, _)| (*n).to_owned()).collect();
        let env = |name: &str| values.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Secrets::read(&names, &names, env).unwrap()
    }

    #[test]
    fn a_connection_string_is_hidden_with_the_password_in_it() {
        let s =
            secrets(&[("A", "postgres://u:p%40ss@h:5432/d"), ("B", "host=h user=u password='other word'")]);
        for (said, hidden) in [
            ("connects to postgres://u:p%40ss@h:5432/d now", "connects to $A now"),
            ("password p%40ss", "password $A"),
            ("password p@ss", "password $A"),
            ("it is other word.", "it is $B."),
            ("nothing", "nothing"),
            ("exit code 0 of 10", "exit code 0 of 10"),
        ] {
            assert_eq!(s.hide(said), hidden);
        }
    }

    #[test]
    fn a_password_is_hidden_however_its_connection_string_is_written() {
        for dsn in [
            "host=h user=u password=hush-hush sslmode=verify-full",
            "host=h user=u sslrootcert=/x password = 'hush-hush'",
            "postgres://u@h/d?password=hush-hush&sslmode=verify-full",
            "Server=h;Database=d;User Id=u;Password=hush-hush;",
            "https://u:hush-hush@h/path",
            "redis://:hush-hush@h:6379/0",
            "amqp://u:hush%2Dhush@h",
        ] {
            let s = secrets(&[("A", dsn)]);
            assert_eq!(s.hide("it is hush-hush."), "it is $A.", "{dsn}");
        }
        assert_eq!(secrets(&[("A", "postgres://u:ha/lf@h/d")]).hide("ha/lf"), "$A");
    }

    #[test]
    fn headers_are_filled_with_variables() {
        let s = secrets(&[("TOKEN", "hush-hush")]);
        assert_eq!(s.fill("Bearer $TOKEN"), Ok("Bearer hush-hush".into()));
        assert_eq!(s.fill("plain"), Ok("plain".into()));
        assert!(s.fill("$NONE").is_err());
    }

    #[test]
    fn what_is_missing_is_named_at_once() {
        let names: BTreeSet<String> = ["A", "B", "C"].map(str::to_owned).into();
        let env = |name: &str| (name == "B").then(|| "x".to_owned());
        assert_eq!(Secrets::read(&names, &names, env).unwrap_err(), ["A", "C"]);
        assert_eq!(Secrets::read(&names, &["B".to_owned()].into(), env).unwrap().get("B"), Some("x"));
    }
}
