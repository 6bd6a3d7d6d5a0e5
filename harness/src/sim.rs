//! World `sim`: virtual clock, in memory, deterministic. Equal seeds give byte-identical journals.
//!
//! It models effects (down, slow, wrong, lossy, damaged), never products, so it teaches nothing about a real stack:
//! it is there to rehearse a scenario in a moment, and to test gameday itself. With a [`Flaw`] the world has one
//! defect, and gameday must find it. Data is scaled down as far as effects do not depend on its size.

mod acts;
mod backup;
mod cells;
mod damage;
mod flaw;
mod health;
mod node;
mod peers;
mod recovery;
mod store;
mod workers;
mod world;

pub use flaw::Flaw;
pub use world::SimHost;

use std::sync::Arc;

use crate::{
    clock::Clock,
    diagnose::Loaded,
    drill::{drill, stop},
    journal::{Began, FORMAT, Journal, Observer},
    plan::Plan,
    ports::{CountsAs, WorldCard},
    scenario::{Scenario, WorldName},
};

/// How `sim` is described in a journal.
pub const CARD: WorldCard = WorldCard { name: WorldName::Sim, counts_as: CountsAs::Rehearsal };

/// The most records, dimensions and bytes that a simulation keeps.
const VECTORS_MAX: u64 = 1000;
const DIM_MAX: u32 = 8;
const OBJECTS_MAX: u64 = 100;
const OBJECT_SIZE_MAX: u32 = 128;
const ENTITIES_MAX: u64 = 5000;

/// Plays a scenario in `sim` and answers with its journal. Blocks, on a runtime of its own.
pub fn rehearse(loaded: &Loaded, began: Began, flaw: Option<Flaw>, observer: Option<Observer>) -> Vec<u8> {
    let scenario = scaled(&loaded.scenario);
    let plan = Plan::compile(&scenario).expect("scaling down keeps a scenario valid");
    let began = Began { scenario, flaw: flaw.map(|f| f.to_string()), ..began };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be built");
    runtime.block_on(async {
        let clock = Clock::simulated();
        let journal = Journal::in_memory(clock, observer);
        let (stopper, stop) = stop();
        let host = Arc::new(SimHost::new(&plan, flaw).stops(stopper));
        drill(&plan, began, host, &journal, clock, stop).await.expect("memory can always be written");
        journal.bytes()
    })
}

/// What a journal of `sim` begins with: nothing in it depends on the time or the machine.
pub fn began(scenario: &Scenario, scenario_sha256: String, overrides: Vec<String>) -> Began {
    Began {
        format: FORMAT,
        run: format!("{}-sim-{}", scenario.name, scenario.seed),
        started: "1970-01-01T00:00:00Z".into(),
        gameday: env!("CARGO_PKG_VERSION").into(),
        world: CARD.name,
        counts_as: CARD.counts_as,
        scenario_sha256,
        scenario: scenario.clone(),
        overrides,
        flaw: None,
        machine: "simulated".into(),
    }
}

fn scaled(scenario: &Scenario) -> Scenario {
    let mut s = scenario.clone();
    s.data.vectors.count = s.data.vectors.count.min(VECTORS_MAX);
    s.data.vectors.dim = s.data.vectors.dim.min(DIM_MAX);
    s.data.objects.count = s.data.objects.count.min(OBJECTS_MAX);
    s.data.objects.size = s.data.objects.size.min(OBJECT_SIZE_MAX);
    s.data.features.entities = s.data.features.entities.min(ENTITIES_MAX);
    s
}
