//! World `sim` keeps the promises of every world.

use std::sync::Arc;

use harness::{contract, corpus::Corpus, diagnose::load, sim::SimHost};

#[tokio::test(start_paused = true)]
async fn world_sim_keeps_the_contract() {
    let text = include_bytes!("../../scenarios/vector_index_corruption.toml");
    let small = [("data.vectors.count".to_owned(), "500".to_owned())];
    let plan = load(text, &small).expect("the scenario is valid").plan;
    contract::all(Arc::new(SimHost::new(&plan, None)), &plan, &Corpus::of(&plan.scenario)).await;
}
