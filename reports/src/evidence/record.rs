//! `record.toml`: what only people know about a drill. gameday never fills it in.
//!
//! A field that still reads [`PLACEHOLDER`] counts as missing; so does an empty one. What is filled of what is required
//! is the documentation completeness of the run.

use serde::{Deserialize, Serialize};

/// What stands in a field until a person fills it.
pub const PLACEHOLDER: &str = "REQUIRES-OPERATOR-INPUT";

/// Every required field: where it stands, and what it asks.
const REQUIRED: &[(&str, &str, &str)] = &[
    ("scenario", "threat", "the threat that the scenario stands for"),
    ("scenario", "severity", "how bad it would be for the business"),
    ("scenario", "assumptions_challenged", "what the plan takes for granted, and this drill does not"),
    ("scope", "plan_ref", "the contingency plan that was tested"),
    ("scope", "plan_version", "its version"),
    ("scope", "test_type", "simulation, parallel or full interruption"),
    ("objectives", "approved_by", "who approved RTO and RPO before the drill"),
    ("objectives", "bia_ref", "the business impact analysis that they come from"),
    ("runbook", "ref", "the runbook that was followed"),
    ("runbook", "detection", "how the outage is noticed"),
    ("runbook", "escalation", "who is called, and when"),
    ("runbook", "recovery", "how service is brought back"),
    ("runbook", "verification", "how data and quality are checked"),
    ("runbook", "failback", "how the stack returns to normal"),
    ("runbook", "communication", "who is told what"),
    ("after", "participants", "roles and names of who took part, and who was missing"),
    ("after", "deviations", "where the drill departed from the plan, or `none`"),
    ("after", "lessons", "what was learnt, or `none`"),
    ("after", "plan_changes", "what changes in plan or runbook because of it, or `none`"),
    ("after", "reported_to", "who was told the result"),
];

/// One finding of people.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What is wrong.
    pub what: String,
    /// How bad: `critical`, `high`, `medium`, `low`.
    pub severity: String,
    /// Who puts it right.
    pub owner: String,
    /// Until when.
    pub due: String,
    /// `open`, or the run that showed that it was put right.
    pub status: String,
}

/// How complete a record is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completeness {
    /// Required fields that a person has filled.
    pub filled: usize,
    /// Required fields.
    pub required: usize,
    /// Those that are missing, as `table.field`.
    pub missing: Vec<String>,
    /// Findings of people.
    pub actions: usize,
}

/// How many fields are required.
pub fn required() -> usize {
    REQUIRED.len()
}

/// An empty record for a run.
pub fn template(run: &str) -> String {
    let mut text = format!(
        "# What only people know about run {run}. gameday never fills this in, and never reads it as proof.\n\
         # Replace every {PLACEHOLDER}; then a second person runs `gameday evidence review`.\n"
    );
    let mut table = "";
    for (at, field, asks) in REQUIRED {
        if *at != table {
            table = at;
            text.push_str(&format!("\n[{at}]\n"));
        }
        text.push_str(&format!("{field} = \"{PLACEHOLDER}\" # {asks}\n"));
    }
    text.push_str(
        "\n# One for each thing that must be put right. A drill that did not pass needs at least one.\n\
         # [[finding]]\n# what = \"..\"\n# severity = \"critical, high, medium or low\"\n# owner = \"..\"\n\
         # due = \"2027-01-31\"\n# status = \"open, or the run that showed that it was put right\"\n",
    );
    text
}

/// How complete a record is.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn completeness(text: &str) -> Result<Completeness, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
        format!("line {line}: {}", e.message())
    })?;
    let filled = |at: &str, field: &str| match table.get(at).and_then(|t| t.get(field)) {
        Some(toml::Value::String(s)) => !s.trim().is_empty() && !s.contains(PLACEHOLDER),
        Some(toml::Value::Array(all)) => {
            let said =
                |v: &toml::Value| v.as_str().is_none_or(|s| !s.trim().is_empty() && !s.contains(PLACEHOLDER));
            !all.is_empty() && all.iter().all(said)
        }
        Some(_) | None => false,
    };
    let missing: Vec<String> = REQUIRED
        .iter()
        .filter(|(at, field, _)| !filled(at, field))
        .map(|(at, field, _)| format!("{at}.{field}"))
        .collect();
    let actions = match table.get("finding") {
        None => 0,
        Some(list) => {
            let all: Vec<Action> = list.clone().try_into().map_err(|e: toml::de::Error| {
                format!("[[finding]]: {}; it needs what, severity, owner, due and status", e.message())
            })?;
            let said = |s: &String| !s.trim().is_empty() && !s.contains(PLACEHOLDER);
            all.iter()
                .filter(|a| [&a.what, &a.severity, &a.owner, &a.due, &a.status].into_iter().all(said))
                .count()
        }
    };
    let required = REQUIRED.len();
    Ok(Completeness { filled: required - missing.len(), required, missing, actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_filled_until_a_person_fills_it() {
        let text = template("r1");
        let c = completeness(&text).unwrap();
        assert_eq!((c.filled, c.actions), (0, 0));
        let one = text.replacen(&format!("\"{PLACEHOLDER}\""), "\"a vault burns\"", 1);
        assert_eq!(completeness(&one).unwrap().filled, 1);
        let all = text.replace(PLACEHOLDER, "said");
        assert_eq!(completeness(&all).unwrap().missing, Vec::<String>::new());
        let blank = text.replace(PLACEHOLDER, " ");
        assert_eq!(completeness(&blank).unwrap().filled, 0);
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(completeness("[a]\nb = \"c\n").unwrap_err().starts_with("line 2"));
        assert!(completeness("[[finding]]\nwhat = \"x\"\n").unwrap_err().contains("severity"));
    }
}
