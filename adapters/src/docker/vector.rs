//! What operators and faults do to a Milvus in a container, each answered after its effect was seen.

use std::time::{Duration, Instant};

use harness::act::EngineChoice;
use harness::corpus::Corpus;
use harness::ports::Effect;
use tokio::time::{sleep, timeout};

use super::container::Container;
use super::milvus::{COLLECTION, Milvus, ROOT};
use super::vector_damage;
use crate::milvus::{Audit, BINLOGS, LoadState, Manifest, MilvusError, is_binlog};

/// How long a server may take until operators can talk to it.
pub(super) const REACHED: Duration = Duration::from_secs(60);
/// One question.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
pub(super) const POLL: Duration = Duration::from_millis(100);
/// How long it is looked whether a collection that was ordered into memory comes back.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// Flushing, building an index, loading: each takes as long as it takes.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Waits until the server answers operators, and the collection is there.
pub(super) async fn reached(node: &Milvus) -> Result<(), Effect> {
    let began = Instant::now();
    loop {
        let why = match timeout(ANSWER, node.client.segments()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("silent for {ANSWER:?}"),
        };
        if began.elapsed() > REACHED {
            let why = format!("no operator reaches {COLLECTION} within {REACHED:?}: {why}");
            return Err(Effect::failed(why));
        }
        sleep(POLL).await;
    }
}

/// An error of Milvus, as the end of an act.
pub(super) fn failed(error: MilvusError) -> Effect {
    Effect::failed(error.to_string())
}

/// Builds the index anew: segment files are compared with their digests first, since an index build that reads a
/// damaged one kills the server, again after each restart.
pub(super) async fn rebuild(node: &Milvus, asked: EngineChoice, corpus: &Corpus) -> Result<Effect, Effect> {
    let _turn = node.turn.lock().await;
    reached(node).await?;
    let began = Instant::now();
    let mut known = node.known.lock().await;
    if known.objects.is_empty() {
        // The first index of a fresh stack: what was seeded is made whole first.
        node.client.flush(LONG).await.map_err(failed)?;
    }
    let (audit, new) = audit(node, &known).await?;
    let verified = known.objects.keys().filter(|key| is_binlog(key)).count();
    let building = Instant::now();
    node.client.rebuild_of(node.kind, &audit, LONG).await.map_err(failed)?;
    let built = building.elapsed();
    let rows = searchable(node).await?;
    let state = node.client.index_state().await.map_err(failed)?;
    if known.objects.is_empty() {
        if let Some(kind) = node.decoy_kind {
            node.keep(vector_damage::decoys(node, corpus, kind).await?);
        }
        *known = Manifest::take(&node.s3, ROOT).await.map_err(failed)?;
    }
    let text = format!(
        "{verified} segment files verified, {new} unknown; index of {} rows built in {:.3} s, engine=milvus (asked: \
         {asked}); {rows} rows searchable after {:.2} s",
        state.indexed,
        built.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(Effect::observed(text)
        .with("engine", "milvus")
        .with("asked", asked)
        .with("build_seconds", format!("{:.3}", built.as_secs_f64()))
        .with("vectors", state.indexed)
        .with("segment_files_verified", verified)
        .with("segment_files_unknown", new)
        .with("act_seconds", format!("{:.3}", began.elapsed().as_secs_f64())))
}

/// Segment files as they are now against their known digests, and how many are not known. Index files are not looked
/// at: they are thrown away.
async fn audit(node: &Milvus, known: &Manifest) -> Result<(Audit, usize), Effect> {
    let mut now = Manifest::default();
    for folder in BINLOGS {
        let found = Manifest::take(&node.s3, &format!("{ROOT}/{folder}/")).await.map_err(failed)?;
        now.objects.extend(found.objects);
    }
    let good = known.objects.iter().filter(|(key, _)| is_binlog(key));
    let good = Manifest { objects: good.map(|(key, digest)| (key.clone(), digest.clone())).collect() };
    let audit = good.compare(&now);
    let new = audit.added.len();
    Ok((audit, new))
}

/// Takes the collection out of memory and loads it again, as a restart or a rebalance would.
pub(super) async fn reload(node: &Milvus, container: &Container) -> Result<Effect, Effect> {
    let _turn = node.turn.lock().await;
    reached(node).await?;
    let began = Instant::now();
    node.client.release().await.map_err(failed)?;
    let out = node.client.load_state().await.map_err(failed)?;
    if out != LoadState::NotLoaded {
        return Err(Effect::not_observed(format!("released, and it is {out:?}")));
    }
    node.client.load().await.map_err(failed)?;
    let tried = timeout(LOOK, searchable(node)).await;
    let took = began.elapsed().as_secs_f64();
    // What is rotten is loaded for ever; or the server died of it, or somebody repairs it already.
    let end = container.ended().await.map(|end| format!("; the container ended with {end}"));
    let end = end.unwrap_or_default();
    Ok(Effect::observed(match tried {
        Ok(Ok(rows)) => format!("taken out of memory and loaded: {rows} rows searchable after {took:.2} s"),
        Ok(Err(why)) => format!("taken out of memory, and not loaded again: {}{end}", why.outcome.text()),
        Err(_) => format!("taken out of memory, and not loaded again within {took:.2} s{end}"),
    }))
}

/// Waits until a search is answered with as many keys as there are rows to find; answers how many there are.
pub(super) async fn searchable(node: &Milvus) -> Result<u64, Effect> {
    node.client.loaded(LONG).await.map_err(failed)?;
    let rows = node.client.count().await.map_err(failed)?;
    let k = usize::try_from(rows).unwrap_or(usize::MAX).min(10);
    if k > 0 {
        node.client.searchable(&node.query, k, LONG).await.map_err(failed)?;
    }
    Ok(rows)
}
