//! World `sim` keeps the promises of every world, and a flawed one is caught breaking them.

use std::sync::Arc;

use harness::{
    contract,
    corpus::Corpus,
    diagnose::load,
    plan::Plan,
    sim::{Flaw, SimHost},
};

fn plan() -> Plan {
    let text = include_bytes!("../../scenarios/vector_index_corruption.toml");
    let small = [("data.vectors.count".to_owned(), "500".to_owned())];
    load(text, &small).expect("the scenario is valid").plan
}

async fn check(flaw: Option<Flaw>) {
    let plan = plan();
    contract::all(Arc::new(SimHost::new(&plan, flaw)), &plan, &Corpus::of(&plan.scenario)).await;
}

#[tokio::test(start_paused = true)]
async fn world_sim_keeps_the_contract() {
    check(None).await;
}

#[tokio::test(start_paused = true)]
async fn flawed_worlds_break_the_contract() {
    for flaw in [
        Flaw::ForgetsAcked,
        Flaw::NeverWakes,
        Flaw::Flaps,
        Flaw::HangingSearch,
        Flaw::SilentFault,
        Flaw::StaleRestore,
        Flaw::CorruptsValues,
        Flaw::DuplicatesRecords,
    ] {
        let checked = tokio::spawn(check(Some(flaw))).await;
        assert!(checked.is_err_and(|e| e.is_panic()), "the contract does not notice {flaw}");
    }
}
