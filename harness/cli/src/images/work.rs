//! What `gameday images` does, once there is an engine.

use std::path::{Path, PathBuf};

use adapters::docker::{
    Engine,
    images::{self, CATALOGUE, Card, Found},
};
use harness::topology::Role;
use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    say,
};

/// One role's images.
#[derive(Serialize)]
struct Row {
    role: String,
    product: &'static str,
    official: &'static str,
    built: String,
    /// What a run would take, if there is anything.
    found: Option<Found>,
}

impl Row {
    async fn of(engine: &Engine, card: &Card) -> Result<Row, Failure> {
        let found = match images::look(engine, card.official).await? {
            None => images::look(engine, card.built).await?,
            found => found,
        };
        let Card { role, product, official, built, .. } = *card;
        let built = built.to_owned();
        Ok(Row { role: role.to_string(), product, official, built, found })
    }

    /// The workers' image, which is this very program.
    fn own(built: String, found: Option<Found>) -> Row {
        let official = "none: it is a copy of this program";
        Row { role: Role::Gpu.to_string(), product: "gameday", official, built, found }
    }

    fn line(&self) -> String {
        let has = match &self.found {
            Some(found) => format!("{} ({} MB)", found.image, found.size / 1_000_000),
            None => "missing".to_owned(),
        };
        format!("{:<8} {:<9} {has:<42} official: {}\n", self.role, self.product, self.official)
    }
}

pub(super) async fn list(json: bool) -> Result<Exit, Failure> {
    let engine = Engine::connect().await?;
    let mut rows = Vec::new();
    for card in &CATALOGUE {
        rows.push(Row::of(&engine, card).await?);
    }
    let tag = images::node_tag(&this_program()?, images::companion(&engine).await?.as_deref())?;
    let found = images::look(&engine, &tag).await?;
    rows.push(Row::own(tag, found));
    show(&rows, json)
}

pub(super) async fn build(roles: &[String], work: &Path, again: bool, json: bool) -> Result<Exit, Failure> {
    let workers = Role::Gpu.to_string();
    let others: Vec<String> = roles.iter().filter(|role| **role != workers).cloned().collect();
    let cards = if others.is_empty() && !roles.is_empty() { Vec::new() } else { chosen(&others)? };
    let engine = Engine::connect().await?;
    images::base(&engine, work, |line| progress("base", line)).await?;
    let mut rows = Vec::new();
    for card in cards {
        let product = card.product;
        if again || images::look(&engine, card.built).await?.is_none() {
            images::build(&engine, card, work, move |line| progress(product, line)).await?;
        }
        rows.push(Row::of(&engine, card).await?);
    }
    if roles.is_empty() || roles.contains(&workers) {
        // Without the OpenCL engine beside this program nobody would use the device.
        if index::opencl::program().is_some() {
            images::device(&engine, work, |line| progress("opencl", line)).await?;
        }
        let found = images::node(&engine, &this_program()?, |line| progress("gameday", line)).await?;
        rows.push(Row::own(found.image.clone(), Some(found)));
    }
    show(&rows, json)
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|e| Failure::environment(format!("this program's own file is unknown: {e}"), "mount /proc"))
}

pub(super) async fn pull(roles: &[String], json: bool) -> Result<Exit, Failure> {
    let cards = chosen(roles)?;
    let engine = Engine::connect().await?;
    let mut rows = Vec::new();
    for card in cards {
        let found = images::pull(&engine, card.official, |line| progress(card.product, line)).await?;
        progress(card.product, &format!("digest {}", found.digest.as_deref().unwrap_or("none")));
        rows.push(Row::of(&engine, card).await?);
    }
    show(&rows, json)
}

fn chosen(roles: &[String]) -> Result<Vec<&'static Card>, Failure> {
    if roles.is_empty() {
        return Ok(CATALOGUE.iter().collect());
    }
    let card = |role: &String| {
        CATALOGUE.iter().find(|card| card.role.to_string() == *role).ok_or_else(|| {
            let known: Vec<String> = CATALOGUE.iter().map(|card| card.role.to_string()).collect();
            Failure::usage(format!("no image plays the role `{role}`"), format!("name {}", known.join(", ")))
        })
    };
    roles.iter().map(card).collect()
}

fn progress(product: &str, line: &str) {
    say::err(&format!("{product:<9} {}\n", reports::clean(line)));
}

fn show(rows: &[Row], json: bool) -> Result<Exit, Failure> {
    let text = if json {
        let text = serde_json::to_string_pretty(rows);
        text.map_err(|e| Failure::environment(e.to_string(), "report this: it is a defect of gameday"))?
            + "\n"
    } else {
        rows.iter().map(Row::line).collect()
    };
    say::out(&text)?;
    Ok(Exit::Pass)
}
