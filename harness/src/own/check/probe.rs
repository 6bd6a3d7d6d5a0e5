//! Mistakes in a probe.

use super::{Problems, collection, known, problem, program, url, variable};
use crate::{
    own::{
        ask::Probe,
        stack::{Product, Stack},
    },
    time::Dur,
};

/// More hits than any Milvus answers with.
const SEARCH_MOST: u32 = 16_384;

/// A service of which more is asked could not be told from an attack.
const EVERY_LEAST: Dur = Dur::from_millis(1);

/// All of a probe of this stack.
pub(super) fn probe(out: &mut Problems, path: &str, p: &Probe, s: &Stack) {
    let kinds = p.kinds();
    if kinds.len() != 1 {
        let message = match kinds.len() {
            0 => "the probe asks nothing".to_owned(),
            _ => format!("the probe asks several questions: {}", kinds.join(", ")),
        };
        problem(
            out,
            path,
            message,
            "give it one of `http`, `tcp`, `command`, `sql`, `s3`, `search`, `promql`, `grpc_health`",
        );
    }
    if p.every < EVERY_LEAST {
        problem(out, format!("{path}.every"), "this is too often", "ask at most once a millisecond");
    }
    if p.timeout.us() == 0 {
        problem(out, format!("{path}.timeout"), "no answer comes in no time", "give it at least 1ms");
    }
    if let Some(http) = &p.http {
        let path = format!("{path}.http");
        url(out, &format!("{path}.url"), &http.url);
        for (name, value) in &http.headers {
            let secret = ["authorization", "cookie", "proxy-authorization"]
                .contains(&name.to_lowercase().as_str())
                || ["key", "token", "secret"].iter().any(|w| name.to_lowercase().contains(w));
            if secret && !value.contains('$') {
                let hint = "write `$NAME` for the variable that holds it: this file is no place for secrets";
                problem(out, format!("{path}.headers.{name}"), "a secret stands in this header", hint);
            }
        }
        if !http.one_of.is_empty() && http.json.is_none() {
            let hint = "add `json = \"/hits/0/id\"`, or look for a `text`";
            problem(out, format!("{path}.one_of"), "nobody says where in the answer this stands", hint);
        }
        if http.json.as_ref().is_some_and(|j| !j.is_empty() && !j.starts_with('/')) {
            let hint = "write a JSON pointer, such as `/hits/0/id`";
            problem(out, format!("{path}.json"), "this is no JSON pointer", hint);
        }
    }
    if let Some(tcp) = &p.tcp
        && !tcp.address.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
    {
        problem(out, format!("{path}.tcp.address"), "this is no address", "write host:port");
    }
    if let Some(run) = &p.command {
        program(out, &format!("{path}.command.run"), &run.run);
        run.env.iter().for_each(|v| variable(out, &format!("{path}.command.env"), v));
    }
    let asked = [
        ("sql", p.sql.as_ref().map(|q| &q.component), Product::Postgres),
        ("s3", p.s3.as_ref().map(|q| &q.component), Product::S3),
        ("search", p.search.as_ref().map(|q| &q.component), Product::Milvus),
    ];
    for (kind, component, product) in asked {
        let Some(id) = component else { continue };
        let at = format!("{path}.{kind}.component");
        if known(out, &at, "component", id, s.component.keys()) && s.component[id].product != product {
            let hint = format!("ask a component of product `{}`", product.word());
            problem(out, at, format!("`{id}` is no {}", product.word()), hint);
        }
    }
    if let Some(q) = &p.search {
        let path = format!("{path}.search");
        collection(out, &format!("{path}.collection"), &q.collection);
        if q.vector.is_empty() || !q.vector.iter().all(|x| x.is_finite()) {
            let hint = "write the numbers of one, as many as the field has dimensions: [0.1, -0.2, ..]";
            problem(out, format!("{path}.vector"), "this is no vector", hint);
        }
        if !(1..=SEARCH_MOST).contains(&q.k) {
            let hint = format!("ask for 1 to {SEARCH_MOST}");
            problem(out, format!("{path}.k"), "nobody answers with so many", hint);
        }
    }
    if let Some(q) = &p.grpc_health {
        let path = format!("{path}.grpc_health");
        url(out, &format!("{path}.url"), &q.url);
        if !q.url.starts_with("https://") && q.ca_file.is_some() {
            let hint = "write https://host:port, or remove it";
            problem(out, format!("{path}.ca_file"), "no certificate is looked at over http", hint);
        }
    }
    if let Some(q) = &p.promql {
        let path = format!("{path}.promql");
        url(out, &format!("{path}.url"), &q.url);
        let finite = [q.at_least, q.at_most].into_iter().flatten().all(f64::is_finite);
        if !finite || (q.at_least.is_none() && q.at_most.is_none()) {
            problem(
                out,
                path,
                "nobody says which answer is a good one",
                "add `at_least = ..` or `at_most = ..`",
            );
        }
    }
}
