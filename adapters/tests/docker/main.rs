//! World `docker` with real containers. The watchdog is this very program, so it has a `main` of its own, as the
//! tests of world `local` have. Without an engine, or without images, everything is skipped, loudly; with
//! `GAMEDAY_DOCKER=required` that is a failure; with `later` nothing is run here, whatever the machine has.

#![expect(clippy::print_stdout, reason = "it is its own test runner")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

#[path = "../common/mod.rs"]
mod common;
mod death;
mod drills;
mod engine;
mod faults;
mod followers;
mod regions;
mod stand;
mod tampered;
mod vectors;
mod workers;
mod worlds;

use std::ffi::OsString;
use std::process::ExitCode;

use common::Test;

const TESTS: &[Test] = &[
    ("contract", worlds::the_contract_is_kept_by_an_object_store),
    ("feature_contract", worlds::the_contract_is_kept_by_a_feature_store),
    ("wiped_node", worlds::a_wiped_node_starts_empty),
    ("killed_and_restarted", worlds::a_kill_is_seen_though_the_node_is_restarted_at_once),
    ("limits", worlds::containers_are_limited_labelled_and_on_loopback),
    ("damage", worlds::damaged_objects_are_served_as_good),
    ("lifted_by_hand", worlds::a_fault_that_other_hands_end_no_longer_holds),
    ("silent_faults", worlds::silent_faults_are_seen_to_do_nothing),
    ("wrong_image", worlds::an_image_that_is_not_there_is_told_before_anything_is_made),
    ("crashing_image", worlds::an_image_that_is_no_object_store_is_told_with_its_log),
    ("left_overs", worlds::left_overs_of_another_run_are_refused),
    ("healthy_drill", drills::a_crash_of_the_object_store_passes),
    ("flawed_drill", drills::a_fault_that_does_nothing_is_unknown),
    ("compromise", drills::a_compromise_of_the_feature_store_is_repaired),
    ("unrepaired", drills::a_compromise_that_nobody_repairs_fails),
    ("tampered", tampered::whatever_is_tampered_with_is_named),
    ("workers", workers::workers_break_and_are_seen_to),
    ("gpu_device", workers::workers_compute_on_a_device_where_there_is_one),
    ("gpu_drill", drills::a_lost_cluster_of_workers_goes_on),
    ("region_lost", regions::a_region_is_lost_fails_over_and_comes_back),
    ("frozen_receiver", regions::a_frozen_receiver_loses_to_the_row),
    ("region_links", regions::a_link_between_regions_is_cut_slowed_and_mended),
    ("region_drill_kill", drills::a_killed_region_is_taken_over),
    ("region_drill_partition", drills::a_region_cut_off_is_taken_over),
    ("limits_and_network", faults::a_node_is_limited_isolated_and_set_free),
    ("rotten_drives", faults::drives_rot_past_the_doors),
    ("containers_only", faults::what_needs_containers_is_refused_elsewhere),
    ("lost_engine", engine::an_engine_that_goes_away_breaks_the_drill_off),
    ("vector_contract", vectors::the_contract_is_kept_by_a_vector_store),
    ("vector_image", vectors::an_image_that_is_no_milvus_is_told_with_its_log),
    ("vector_alone", vectors::a_vector_role_without_objects_is_refused),
    ("vector_regions", followers::a_milvus_is_followed_taken_over_and_follows),
    ("vector_sync", followers::a_milvus_that_is_to_be_followed_synchronously_is_refused),
    ("vector_killed", vectors::a_kill_loses_nothing_and_a_lost_log_is_counted_to_the_row),
    ("vector_wiped", vectors::a_wiped_milvus_is_restored_row_by_row),
    ("index_loud", vectors::a_loud_index_is_rebuilt),
    ("index_latent", vectors::a_latent_index_is_rebuilt),
    ("index_silent", vectors::a_silent_index_is_found_by_questions_with_known_answers),
    ("index_fatal", vectors::a_fatal_index_is_put_back),
    ("index_trap", vectors::a_trap_is_restored),
    ("trap_sprung", vectors::a_sprung_trap_fails),
    ("metadata_lost", vectors::lost_metadata_is_restored),
    ("metadata_old", vectors::old_metadata_is_found_and_restored),
    ("backup_under_load", vectors::a_backup_ends_while_keys_are_added),
    ("restore_amid_restart", vectors::a_restore_amid_a_restart_finds_the_old_metadata),
    ("moment_restored", vectors::a_milvus_is_put_back_as_of_one_moment),
    ("moments_refused", vectors::a_backup_of_two_moments_is_refused),
    ("metadata_moment", vectors::a_moment_is_put_back),
    ("moments_mixed", vectors::mixed_moments_fail),
    ("full_object", faults::a_full_object_store_refuses_and_goes_on),
    ("full_feature", faults::a_full_feature_store_loses_nothing),
    ("disk_full", drills::a_full_disk_is_freed),
    ("feature_moment", drills::a_feature_store_goes_back_in_time),
    ("log_lost", vectors::a_lost_log_fails),
    ("killed_harness", death::a_killed_harness_leaves_nothing),
    ("killed_whole_drill", death::a_harness_killed_amid_a_whole_drill_leaves_nothing),
    ("healed_by_hand", death::what_nobody_cleaned_up_is_healed_by_hand),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = adapters::local::hidden_main(&args) {
        return code;
    }
    if args.first().is_some_and(|arg| arg == death::HARNESS) {
        return death::harness(&args[1..]);
    }
    if args.first().is_some_and(|arg| arg == death::DRILL) {
        return death::whole_drill(&args[1..]);
    }
    if args.first().is_some_and(|arg| arg == engine::DRILL) {
        return engine::drill(&args[1..]);
    }
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if common::listed(TESTS, &args) {
        return ExitCode::SUCCESS;
    }
    let asked = std::env::var("GAMEDAY_DOCKER").unwrap_or_default();
    if asked == "later" {
        println!("world docker: later, by ci/docker");
        return ExitCode::SUCCESS;
    }
    if let Err(why) = stand::can_run() {
        println!("skipped: world docker: {why}");
        return if asked == "required" { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    common::run(TESTS, &args)
}
