//! The pure parts: checking scenarios, judging journals, simulating drills.

use std::time::Duration;

use benches::{TEN_MINUTES, journal, scenario};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::{diagnose::load, report::Report, sim};

fn check(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    group.throughput(Throughput::Elements(200));
    group.bench_function("200 scenarios", |b| {
        b.iter(|| (0..200).for_each(|_| drop(load(TEN_MINUTES.as_bytes(), &[]).expect("valid"))));
    });
    group.finish();
}

fn report(c: &mut Criterion) {
    let journal = journal(100_000);
    let mut group = c.benchmark_group("report");
    group.sample_size(10).throughput(Throughput::Bytes(journal.len() as u64));
    group.bench_function("journal of 100,000 events", |b| {
        b.iter(|| Report::read(&journal[..]).expect("the journal is whole"));
    });
    group.finish();
}

fn simulate(c: &mut Criterion) {
    let loaded = scenario(TEN_MINUTES);
    let mut group = c.benchmark_group("simulate");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("drill of ten minutes", |b| {
        b.iter(|| {
            sim::rehearse(&loaded, sim::began(&loaded.scenario, String::new(), Vec::new()), None, None)
        });
    });
    group.finish();
}

criterion_group!(benches, check, report, simulate);
criterion_main!(benches);
