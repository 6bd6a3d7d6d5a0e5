//! `gameday schema`: the JSON Schema of a scenario, generated from the types that read it.

use clap::Args;
use harness::scenario::Scenario;
use schemars::generate::SchemaSettings;

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Print the JSON Schema of scenarios
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday schema > scenarios/gameday.schema.json

Editors with a TOML language server complete and check a scenario that begins with
  #:schema ./gameday.schema.json")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        say::out(&text())?;
        Ok(Exit::Pass)
    }
}

/// Draft 7, which is what editors understand best.
fn text() -> String {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Scenario>();
    schema.insert("title".into(), "A drill of gameday".into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_schema_is_fresh() {
        let shipped = include_str!("../../../scenarios/gameday.schema.json");
        assert!(super::text() == shipped, "write it anew: gameday schema > scenarios/gameday.schema.json");
    }
}
