//! The verdict in one sentence: what a person remembers of a drill.
//!
//! It says no more than the findings do: a fail names what was missed, an unknown names the first doubt, a pass
//! names the longest outage and the losses.

use harness::{
    judge::Finding,
    report::{Report, ServiceReport},
    time::human_us,
    verdict::Verdict,
};

use crate::text::words::{clean, close_us, count, limit_us, share, share_at_least};

/// "FAIL: rag was unavailable for 41.2 s (limit 30 s)".
pub fn headline(report: &Report) -> String {
    let why = match report.verdict {
        Verdict::Pass => passed(report),
        verdict => {
            let mut why: Vec<String> =
                report.findings.iter().filter(|f| f.verdict == verdict).map(|f| missed(report, f)).collect();
            let more = why.len().saturating_sub(2);
            why.truncate(2);
            if why.is_empty() {
                why.push("nothing was judged".into());
            }
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            why.join("; ") + &more
        }
    };
    let mut more = String::new();
    if !report.still_down.is_empty() {
        more.push_str(&format!("; still down at the end: {}", report.still_down.join(", ")));
    }
    if report.verdict == Verdict::Pass && !report.proves_little.is_empty() {
        more.push_str("; proves little: see the report");
    }
    clean(&format!("{}: {why}{more}", report.verdict))
}

fn passed(report: &Report) -> String {
    if let Some(restore) = &report.restore {
        return crate::restored::headline(report, restore);
    }
    let mut said = Vec::new();
    let longest = report.services.iter().max_by_key(|s| s.rto_us.unwrap_or(0));
    said.extend(longest.map(|s| match s.rto_us {
        Some(us) if !s.absorbed => {
            let limit = limit(report, &s.service);
            let limit = limit.map_or(String::new(), |l| format!(" (limit {})", limit_us(l)));
            format!("{} was unavailable for {}{limit}", s.service, human_us(us))
        }
        _ => format!("{} never failed", s.service),
    }));
    said.extend(report.fault.iter().flat_map(crate::faulted::headline));
    let writes = report.ledger.iter().filter_map(|s| Some((s, s.no_writes_us.filter(|us| *us > 0)?)));
    let services = report.services.iter().filter_map(|s| s.rto_us).max().unwrap_or(0);
    // The worse of the two is what a reader has to know.
    if let Some((s, us)) = writes.max_by_key(|(_, us)| *us).filter(|(_, us)| *us > services) {
        said.push(format!("{} took no writes for {}", s.store, human_us(us)));
    }
    let (lost, corrupt) = report.ledger.iter().fold((0, 0), |(l, c), s| (l + s.lost, c + s.corrupt));
    if report.ledger.iter().any(|s| s.read_back) {
        said.push(match (lost, corrupt) {
            (0, 0) => "nothing acknowledged was lost".into(),
            _ => format!("{} acknowledged records lost, {} damaged", count(lost), count(corrupt)),
        });
    }
    let ratio = report.quality.as_ref().and_then(|q| q.ratio);
    said.extend(ratio.map(|(point, _)| format!("recall is {} of before", share(point))));
    if said.is_empty() { "every objective was met".into() } else { said.join("; ") }
}

fn missed(report: &Report, finding: &Finding) -> String {
    let known = if finding.verdict == Verdict::Fail { fail_in_words(report, finding) } else { None };
    known.unwrap_or_else(|| match finding.objective.as_str() {
        "conduct" => format!("the drill was {}: {}", finding.measured, finding.why),
        "steady" | "effect" => finding.why.clone(),
        objective => format!("{objective} of {}: {}", finding.subject, finding.why),
    })
}

fn fail_in_words(report: &Report, finding: &Finding) -> Option<String> {
    let subject = &finding.subject;
    let store = || report.ledger.iter().find(|s| report.name_of(s) == *subject);
    match finding.objective.as_str() {
        "rto" if report.restore.is_some() && finding.measured == "never" => {
            Some(format!("{subject} never passed every check"))
        }
        "rto" if report.restore.is_some() => Some(format!(
            "{subject} was back after {} ({})",
            finding.measured,
            finding.required.replace("at most", "limit")
        )),
        "rpo" if report.restore.is_some() => {
            Some(format!("{} ({})", finding.measured, finding.required.replace("at most", "limit")))
        }
        "rto" => {
            let service = report.services.iter().find(|s| &s.service == subject)?;
            Some(outage(service, limit(report, subject)?))
        }
        "rpo" => {
            let s = store()?;
            let harm = [(s.lost, "lost"), (s.corrupt, "damaged")];
            let harm: Vec<String> =
                harm.iter().filter(|(n, _)| *n > 0).map(|(n, how)| format!("{how} {}", count(*n))).collect();
            let span = human_us(s.rpo_us?);
            Some(format!(
                "{subject} {} of {} acknowledged records, reaching back {span} ({})",
                harm.join(" and "),
                count(s.acked),
                finding.required.replace("at most", "limit")
            ))
        }
        "integrity" => {
            let s = store()?;
            let (unexpected, duplicate) = (count(s.unexpected), count(s.duplicate));
            Some(format!("{subject} holds {unexpected} records that it should not, and {duplicate} twice"))
        }
        "quality" => {
            let q = report.quality.as_ref()?;
            let (before, after) = (q.before[0], q.after?);
            let lower = q.ratio?.1.min(q.ratio_stored?.1);
            Some(format!(
                "recall@{} was {before:.4} and is {after:.4} ({} of before as a lower bound; required: {})",
                q.k,
                share_at_least(lower),
                finding.required
            ))
        }
        _ => None,
    }
}

fn outage(service: &ServiceReport, limit: u64) -> String {
    let (name, most) = (&service.service, limit_us(limit));
    match (service.rto_us, service.verified_us) {
        (Some(us), _) if us > limit => {
            format!("{name} was unavailable for {} (limit {most})", close_us(us, limit))
        }
        (Some(_), Some(us)) => {
            format!("{name} was verified after {} (limit {most})", close_us(us, limit))
        }
        _ => format!("{name} did not come back for good within {most}"),
    }
}

fn limit(report: &Report, service: &str) -> Option<u64> {
    report.objectives.iter().find(|o| o.service == service).and_then(|o| o.rto_us)
}
