//! World `local` with real processes. Nodes and watchdogs are this very program, so it has a `main` of its own:
//! it looks for the hidden subcommands first, and runs the tests one after the other.

#![expect(clippy::print_stdout, reason = "it is its own test runner")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod acts;
#[path = "../common/mod.rs"]
mod common;
mod death;
mod drills;
mod features;
mod gpu;
mod loss;
mod regions;
mod stand;
mod tampered;

use std::ffi::OsString;
use std::process::ExitCode;

use common::Test;

const TESTS: &[Test] = &[
    ("contract", acts::the_contract_is_kept),
    ("commands", acts::commands_run_in_the_runs_folder_and_die_with_their_call),
    ("dropped_acts", acts::acts_dropped_half_way_leave_nothing_behind),
    ("dropped_launches", acts::launches_dropped_half_way_leave_nothing_behind),
    ("broken_program", acts::a_program_that_is_no_node_is_an_environment_error),
    ("lost_watchdog", acts::the_loss_of_the_watchdog_is_told),
    ("swapped_files", acts::swapped_files_are_noticed_and_restored),
    ("damaged_backups", acts::damaged_backups_are_seen_and_not_restored),
    ("swapped_model", acts::a_swapped_model_is_a_sound_object_of_another),
    ("silent_faults", acts::silent_faults_are_seen_to_do_nothing),
    ("refused_configs", acts::what_cannot_be_played_is_refused),
    ("wiped_node", regions::a_wiped_node_starts_empty),
    ("lost_region", regions::a_region_is_lost_fails_over_and_comes_back),
    ("partition", regions::a_partitioned_primary_stays_fenced_when_the_network_heals),
    ("behind", regions::a_standby_falls_behind_and_catches_up),
    ("active_active", regions::users_of_two_active_regions_move_by_themselves),
    ("region_drills", regions::the_loss_of_a_region_passes_in_every_pattern),
    ("partition_drill", regions::a_partition_passes),
    ("loss_drill", loss::what_a_lagging_standby_loses_is_reported_to_the_row),
    ("killed_harness", death::a_killed_harness_leaves_nothing),
    ("healed_by_hand", death::what_nobody_cleaned_up_is_healed_by_hand),
    ("played_again", drills::only_a_late_harness_plays_again),
    ("healthy_drill", drills::a_healthy_stack_passes),
    ("flawed_drills", drills::each_flaw_is_found),
    ("untampered", tampered::a_stack_that_nobody_tampers_with_passes),
    ("tampered", tampered::whatever_is_tampered_with_is_named),
    ("feature_drill", features::a_killed_store_comes_back),
    ("feature_strikes", features::strikes_are_answered_with_what_was_seen),
    ("feature_compromise", features::a_compromised_store_is_restored),
    ("feature_flaws", features::bad_restores_are_found),
    ("gpu_broken", gpu::broken_workers_are_masked_until_all_are),
    ("gpu_lost", gpu::a_job_goes_on_whatever_becomes_of_its_workers),
    ("gpu_drill", gpu::the_loss_of_all_workers_passes),
    ("gpu_flawed_drill", gpu::a_driver_that_drops_a_shard_is_found),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = adapters::local::hidden_main(&args) {
        return code;
    }
    if args.first().is_some_and(|arg| arg == death::HARNESS) {
        return death::harness(&args[1..]);
    }
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if common::listed(TESTS, &args) {
        return ExitCode::SUCCESS;
    }
    common::run(TESTS, &args)
}
