//! `record.toml`: what only people know about a drill. gameday never fills it in.
//!
//! A field that still reads [`PLACEHOLDER`] counts as missing, however it is written; so does an empty one, and one that
//! only holds a place in other words. What is filled of what is required is the documentation completeness of the run.

use serde::{Deserialize, Deserializer, de::Error as _};

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

/// What else people write where they have nothing to say yet; compared without case, blanks and marks.
const EMPTY_WORDS: &[&str] = &[
    "todo",
    "tbd",
    "tba",
    "tbc",
    "tbs",
    "fixme",
    "xxx",
    "placeholder",
    "fillin",
    "fillmein",
    "fillthisin",
    "changeme",
    "replaceme",
    "tobedone",
    "tobedefined",
    "tobedetermined",
    "tobedecided",
    "tobeannounced",
    "tobeconfirmed",
    "loremipsum",
];

/// How bad a finding may be.
const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];

/// Whether a person said something here: a letter or digit at least, and nothing that only holds the place.
pub fn says_something(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let place = PLACEHOLDER.replace('-', "").to_lowercase();
    !bare.is_empty() && !bare.contains(&place) && !EMPTY_WORDS.contains(&bare.as_str())
}

/// One finding of people.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What is wrong.
    pub what: String,
    /// How bad: `critical`, `high`, `medium`, `low`.
    pub severity: String,
    /// Who puts it right.
    pub owner: String,
    /// Until when.
    #[serde(deserialize_with = "due")]
    pub due: String,
    /// `open`, or the run that showed that it was put right.
    pub status: String,
}

/// A date of TOML, or a text.
fn due<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match toml::Value::deserialize(from)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Datetime(date) => Ok(date.to_string()),
        other => Err(D::Error::custom(format!("due is no date but a {}", other.type_str()))),
    }
}

impl Action {
    /// What is wrong with it.
    fn wrong(&self) -> Option<String> {
        let fields =
            [("what", &self.what), ("severity", &self.severity), ("owner", &self.owner), ("due", &self.due)];
        let fields = fields.into_iter().chain([("status", &self.status)]);
        if let Some((field, _)) = fields.into_iter().find(|(_, text)| !says_something(text)) {
            return Some(format!("{field} says nothing"));
        }
        if !SEVERITIES.contains(&self.severity.as_str()) {
            return Some(format!("severity `{}` is none of {}", self.severity, SEVERITIES.join(", ")));
        }
        if !is_date(&self.due) {
            return Some(format!("due `{}` is no day of the calendar; write YYYY-MM-DD", self.due));
        }
        if !super::seal::plain(&self.status) {
            return Some(format!("status `{}` is neither `open` nor the name of a run", self.status));
        }
        None
    }
}

/// Whether a text is `YYYY-MM-DD`, and there is such a day.
fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text && date.year() >= 1970)
}

/// How complete a record is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completeness {
    /// Required fields that a person has filled.
    pub filled: usize,
    /// Required fields.
    pub required: usize,
    /// Those that are missing, as `table.field`, and what is wrong with findings.
    pub missing: Vec<String>,
    /// Findings of people that are whole.
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
    let filled = |at: &str, field: &str| table.get(at).and_then(|t| t.get(field)).is_some_and(said);
    let mut missing: Vec<String> = REQUIRED
        .iter()
        .filter(|(at, field, _)| !filled(at, field))
        .map(|(at, field, _)| format!("{at}.{field}"))
        .collect();
    let required = REQUIRED.len();
    let filled = required - missing.len();
    let actions = match table.get("finding") {
        None => 0,
        Some(list) => {
            let all: Vec<Action> = list.clone().try_into().map_err(|e: toml::de::Error| {
                format!("[[finding]]: {}; it needs what, severity, owner, due and status", e.message())
            })?;
            let wrong: Vec<String> = all
                .iter()
                .enumerate()
                .filter_map(|(i, a)| a.wrong().map(|why| format!("a right [[finding]] {}: {why}", i + 1)))
                .collect();
            let whole = all.len() - wrong.len();
            missing.extend(wrong);
            whole
        }
    };
    Ok(Completeness { filled, required, missing, actions })
}

/// Whether a value says something, in all of its parts.
fn said(value: &toml::Value) -> bool {
    match value {
        toml::Value::String(text) => says_something(text),
        toml::Value::Integer(_) | toml::Value::Datetime(_) => true,
        toml::Value::Float(x) => x.is_finite(),
        toml::Value::Boolean(_) => false,
        toml::Value::Array(all) => !all.is_empty() && all.iter().all(said),
        toml::Value::Table(all) => !all.is_empty() && all.values().all(said),
    }
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
    fn what_only_holds_the_place_is_not_filled() {
        let text = template("r1");
        for empty in [
            PLACEHOLDER,
            "requires-operator-input",
            "Requires Operator Input",
            "see REQUIRES_OPERATOR_INPUT",
            "requires\u{200b}-operator-input",
            "",
            " ",
            "-",
            "...",
            "?",
            "\u{200b}",
            "todo",
            "TODO:",
            "T.B.D.",
            "<to be done>",
            "FIXME",
            "xxx",
            "[placeholder]",
        ] {
            assert_eq!(completeness(&text.replace(PLACEHOLDER, empty)).unwrap().filled, 0, "{empty}");
        }
        for said in ["none", "as planned", "3", "没有", "a todo list is kept in OPS-12"] {
            assert_eq!(
                completeness(&text.replace(PLACEHOLDER, said)).unwrap().missing,
                Vec::<String>::new(),
                "{said}"
            );
        }
        let values =
            |to: &str| completeness(&text.replace(&format!("\"{PLACEHOLDER}\""), to)).unwrap().filled;
        let filled =
            ["3", "2026-11-30", "[\"ops\", \"audit\"]", "[{ role = \"lead\", name = \"A\" }]"].map(values);
        assert_eq!(filled, [REQUIRED.len(); 4]);
        let empty = ["true", "[]", "{}", "[\"ops\", \"todo\"]", "[{ role = \"lead\", name = \"\" }]", "nan"]
            .map(values);
        assert_eq!(empty, [0; 6]);
    }

    #[test]
    fn findings_have_days_that_exist_and_words_that_mean_something() {
        let all = template("r1").replace(PLACEHOLDER, "said");
        let with = |severity: &str, due: &str, status: &str| {
            let finding = format!(
                "[[finding]]\nwhat = \"slow\"\nseverity = \"{severity}\"\nowner = \"ops\"\ndue = {due}\nstatus = \"{status}\"\n"
            );
            completeness(&format!("{all}\n{finding}")).map(|c| (c.actions, c.missing.join("; ")))
        };
        assert_eq!(with("high", "\"2028-02-29\"", "open"), Ok((1, String::new())));
        assert_eq!(with("low", "2027-01-31", "20261130T194045Z-x-0a1b"), Ok((1, String::new())));
        for due in [
            "\"2026-02-30\"",
            "\"2027-02-29\"",
            "\"2026-13-01\"",
            "\"2026-00-10\"",
            "\"2026-1-31\"",
            "\"31.01.2027\"",
            "\"01/31/2027\"",
            "\"soon\"",
            "\"2027-01-31T00:00:00Z\"",
            "\"0000-01-01\"",
            "\"20270131\"",
            "\"+002027-01-31\"",
        ] {
            let (whole, why) = with("high", due, "open").unwrap();
            assert!(whole == 0 && why.contains("no day of the calendar"), "{due}: {why}");
        }
        assert!(with("high", "2026-02-30", "open").is_err());
        assert!(with("high", "20270131", "open").is_err());
        assert!(with("bad", "\"2027-01-31\"", "open").unwrap().1.contains("severity `bad`"));
        assert!(with("high", "\"2027-01-31\"", "in hand, or so").unwrap().1.contains("status"));
        assert!(with("high", "\"2027-01-31\"", "todo").unwrap().1.contains("status says nothing"));
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(completeness("[a]\nb = \"c\n").unwrap_err().starts_with("line 2"));
        assert!(completeness("[[finding]]\nwhat = \"x\"\n").unwrap_err().contains("severity"));
    }
}
