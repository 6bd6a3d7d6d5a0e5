//! `gameday schema`: the JSON Schema of what people write, generated from the types that read it.

use clap::{Args, ValueEnum};
use harness::{
    own::{fault::Fault, restore::Restore, stack::Stack},
    scenario::Scenario,
};
use schemars::{JsonSchema, generate::SchemaSettings};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Print the JSON Schema of scenarios, stack files, restore drills or fault drills
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday schema > scenarios/gameday.schema.json
  gameday schema stack > stack.schema.json
  gameday schema restore > drills/restore.schema.json
  gameday schema fault > drills/fault.schema.json

Editors with a TOML language server complete and check a scenario that begins with
  #:schema ./gameday.schema.json")]
pub(crate) struct Schema {
    /// What is written
    #[arg(value_name = "WHAT", default_value = "scenario")]
    what: What,
}

/// What people write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    /// A scenario of gameday's own worlds
    Scenario,
    /// stack.toml: a stack of your own
    Stack,
    /// A restore drill
    Restore,
    /// A fault drill on a stack of your own
    Fault,
}

impl Schema {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        say::out(&match self.what {
            What::Scenario => text::<Scenario>("A drill of gameday"),
            What::Stack => text::<Stack>("A stack that gameday did not launch"),
            What::Restore => text::<Restore>("A restore drill of gameday"),
            What::Fault => text::<Fault>("A fault drill of gameday on a stack of your own"),
        })?;
        Ok(Exit::Pass)
    }
}

/// Draft 7, which is what editors understand best.
fn text<T: JsonSchema>(title: &str) -> String {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_schema_is_fresh() {
        let shipped = include_str!("../../../scenarios/gameday.schema.json");
        assert!(
            super::text::<super::Scenario>("A drill of gameday") == shipped,
            "write it anew: gameday schema > scenarios/gameday.schema.json"
        );
    }
}
