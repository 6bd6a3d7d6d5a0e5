//! Golden queries: vectors of the source, searched for there and then in the scratch place.

use std::time::Duration;

use harness::own::ask::Search;
use harness::own::event::Answers;
use milvus::proto::common::{ConsistencyLevel, DslType, PlaceholderGroup, PlaceholderType, PlaceholderValue};
use milvus::proto::milvus::{SearchRequest, search_request::SearchInput};
use milvus::proto::schema::{SearchResultData, i_ds};
use prost::Message as _;

use super::layout::Layout;
use super::link::{Link, PAGE_LIMIT};
use super::read::{hash, rows_of, sample};
use super::rows::{Key, Page};
use crate::milvus::pairs;
use crate::own::place::{FieldQueries, Queries, Unread};

/// Vectors that are searched for in one call.
const AT_ONCE: usize = 250;
/// How much two distances that are one may differ, as a part of them.
const ROUNDED: f32 = 1e-5;
/// Ways to measure by which nothing is nearer to a vector than itself.
const DISTANCES: [&str; 4] = ["L2", "COSINE", "HAMMING", "JACCARD"];
/// Rows that are fetched in one call.
const FETCHED: usize = 100;

/// One search.
struct Wanted<'a> {
    collection: &'a str,
    field: &'a str,
    kind: i32,
    metric: &'a str,
    most: usize,
}

/// A hit: its key, and how near it is.
type Hit = (Key, f32);

/// Chooses vectors of a collection: those of rows whose keys have the lowest digests.
pub(super) async fn queries(link: &Link, collection: &str, word: &str) -> Result<Queries, Unread> {
    let layout = Layout::of(link, collection).await?;
    let mut fields = Vec::new();
    for v in &layout.vectors {
        let metric = v.metric.clone();
        let metric =
            metric.ok_or_else(|| Unread::Failed(format!("field `{}` has no index to search by", v.name)))?;
        fields.push(FieldQueries {
            field: v.name.clone(),
            kind: v.kind as i32,
            metric,
            ..Default::default()
        });
    }
    if fields.is_empty() {
        return Ok(Queries::default());
    }
    let keys = sample(link, &layout, Answers::QUERIES / fields.len()).await?;
    let mut wanted: Vec<String> = fields.iter().map(|f| f.field.clone()).collect();
    wanted.push(layout.key.clone());
    for some in keys.chunks(FETCHED) {
        let found = rows_of(link, &layout, &wanted, some).await?;
        let page = Page::new(&found, &layout.key, &wanted).map_err(Unread::Failed)?;
        for field in &mut fields {
            for row in 0..page.keys.len() {
                let Some(vector) = page.value(&field.field, row).map_err(Unread::Failed)? else { continue };
                field.vectors.push(vector);
                if DISTANCES.contains(&field.metric.as_str()) {
                    field.own.push(digits(word, &page.keys[row]));
                }
            }
        }
    }
    Ok(Queries { fields })
}

/// Searches for golden queries; `word` is what keys are hashed with.
pub(super) async fn answers(
    link: &Link,
    collection: &str,
    queries: &Queries,
    word: &str,
) -> Result<Vec<Answers>, Unread> {
    let mut all = Vec::new();
    for f in &queries.fields {
        let wanted =
            Wanted { collection, field: &f.field, kind: f.kind, metric: &f.metric, most: Answers::KEPT };
        let mut hits: Vec<String> = Vec::new();
        for some in f.vectors.chunks(AT_ONCE) {
            let found = search(link, &wanted, some, PAGE_LIMIT).await?;
            hits.extend(found.iter().map(|hits| kept(hits, word)));
        }
        // A graph may have places that cannot be reached from elsewhere, such as one of many equal vectors: what the source
        // answers wrongly by its own data is not asked of a copy, and in a copy it counts as no answer.
        for (hits, own) in hits.iter_mut().zip(&f.own) {
            if !hits.as_bytes().chunks(own.len()).any(|hit| hit == own.as_bytes()) {
                hits.clear();
            }
        }
        all.push(Answers { field: f.field.clone(), hits });
    }
    Ok(all)
}

/// The nearest, and those that are no worse than the last of them: but for how floats are rounded, which depends on the kind of
/// segment that a row is in.
fn kept(hits: &[Hit], word: &str) -> String {
    let last = hits.get(Answers::NEAREST - 1).map(|(_, score)| *score);
    let ties = |score: f32| last.is_some_and(|l| (score - l).abs() <= l.abs() * ROUNDED);
    let kept = hits.iter().enumerate().take_while(|(i, (_, score))| *i < Answers::NEAREST || ties(*score));
    kept.take(Answers::KEPT).map(|(_, (key, _))| digits(word, key)).collect()
}

/// A key as it stands in the journal.
fn digits(word: &str, key: &Key) -> String {
    format!("{:016x}", hash(word, key))
}

async fn search(
    link: &Link,
    w: &Wanted<'_>,
    vectors: &[Vec<u8>],
    limit: Duration,
) -> Result<Vec<Vec<Hit>>, Unread> {
    let kind = PlaceholderType::try_from(w.kind).unwrap_or_default() as i32;
    let asked =
        PlaceholderValue { tag: "$0".into(), r#type: kind, values: vectors.to_vec(), ..Default::default() };
    let group = PlaceholderGroup { placeholders: vec![asked] };
    let topk = w.most.to_string();
    // Each kind of index takes its own and ignores the others; wide, so that two builds of one index answer alike.
    let params = format!("{{\"ef\": {0}, \"nprobe\": 64, \"search_list\": {0}}}", w.most.max(128));
    let mut said = vec![("topk", topk.as_str()), ("params", params.as_str()), ("round_decimal", "-1")];
    said.extend((!w.field.is_empty()).then_some(("anns_field", w.field)));
    said.extend((!w.metric.is_empty()).then_some(("metric_type", w.metric)));
    let request = SearchRequest {
        db_name: link.database(),
        collection_name: w.collection.to_owned(),
        search_input: Some(SearchInput::PlaceholderGroup(group.encode_to_vec())),
        dsl_type: DslType::BoolExprV1 as i32,
        search_params: pairs(&said),
        nq: i64::try_from(vectors.len()).unwrap_or(i64::MAX),
        consistency_level: ConsistencyLevel::Strong as i32,
        ..Default::default()
    };
    hits(&link.search(request, limit).await?, vectors.len()).map_err(Unread::Failed)
}

/// The hits of each vector.
fn hits(found: &SearchResultData, asked: usize) -> Result<Vec<Vec<Hit>>, String> {
    let keys: Vec<Key> = match found.ids.as_ref().and_then(|ids| ids.id_field.as_ref()) {
        Some(i_ds::IdField::IntId(ids)) => ids.data.iter().copied().map(Key::Number).collect(),
        Some(i_ds::IdField::StrId(ids)) => ids.data.iter().cloned().map(Key::Text).collect(),
        Some(_) => return Err("hits with keys that gameday cannot read".into()),
        None => Vec::new(),
    };
    if keys.is_empty() {
        return Ok(vec![Vec::new(); asked]);
    }
    let counts: Vec<usize> = found.topks.iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
    let all = counts.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    if counts.len() != asked || all != Some(keys.len()) || found.scores.len() != keys.len() {
        let why = format!("{} hits and {} distances for {asked} vectors", keys.len(), found.scores.len());
        return Err(why);
    }
    let mut hits = keys.into_iter().zip(found.scores.iter().copied());
    Ok(counts.into_iter().map(|n| hits.by_ref().take(n).collect()).collect())
}

/// Whether a search is answered as its author says.
pub(super) async fn probe(link: &Link, q: &Search, limit: Duration) -> Result<(), String> {
    let wanted = Wanted {
        collection: &q.collection,
        field: q.anns_field.as_deref().unwrap_or(""),
        kind: PlaceholderType::FloatVector as i32,
        metric: "",
        most: q.k as usize,
    };
    let vector = q.vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let found = search(link, &wanted, &[vector], limit).await.map_err(|e| e.to_string())?;
    match found.first().and_then(|hits| hits.first()) {
        None => Err("nothing was found".into()),
        Some(_) if q.one_of.is_empty() => Ok(()),
        Some((key, _)) if q.one_of.iter().any(|w| *w == key.to_string()) => Ok(()),
        // What stands there may be data of users.
        Some(_) => Err(format!("the best hit is not {}", q.one_of.join(" or "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[f32]) -> Vec<Hit> {
        scores.iter().enumerate().map(|(i, s)| (Key::Number(i as i64), *s)).collect()
    }

    #[test]
    fn hits_as_good_as_the_last_are_kept_as_well() {
        let near: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let tied = |n: usize| [near.clone(), vec![9.0; n], vec![10.0; 5]].concat();
        for (hits, wanted) in [(tied(1), 10), (tied(4), 13), (tied(500), 100), (near.clone(), 9), (vec![], 0)]
        {
            assert_eq!(kept(&scored(&hits), "w").len(), wanted * 16, "{hits:?}");
        }
        assert_ne!(kept(&scored(&near), "w"), kept(&scored(&near), "another run"));
    }

    #[test]
    fn hits_are_those_of_each_vector_or_none() {
        let ids = |n: i64| {
            let data = (0..n).collect();
            let id_field = Some(i_ds::IdField::IntId(milvus::proto::schema::LongArray { data }));
            Some(milvus::proto::schema::IDs { id_field })
        };
        let found = |n: i64, topks: &[i64]| SearchResultData {
            ids: ids(n),
            scores: vec![0.5; n as usize],
            topks: topks.to_vec(),
            ..Default::default()
        };
        let counts: Vec<usize> = hits(&found(5, &[2, 0, 3]), 3).unwrap().iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 0, 3]);
        assert_eq!(hits(&found(0, &[]), 2).unwrap(), [vec![], vec![]]);
        for (n, topks, asked) in [(5, vec![2, 2], 2), (5, vec![5], 2), (4, vec![-1, 5], 2)] {
            assert!(hits(&found(n, &topks), asked).is_err(), "{n} {topks:?}");
        }
    }
}
