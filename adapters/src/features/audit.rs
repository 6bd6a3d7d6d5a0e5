//! The audit: every detector of compromise by itself, so that it can be seen which of them would have been enough.
//!
//! | detector | catches | is blind to |
//! |---|---|---|
//! | digest | whatever was altered or added past the log | writes that came the usual way |
//! | missing | what was removed past the log | the same |
//! | PSI, KS | values of a feature moved in bulk | few rows, and rows that changed places |
//! | references | definitions, dependencies, compatibility, registry and model objects that disagree | values |
//! | roles | roles that the backup does not know, or knows otherwise | anything else |
//!
//! The baseline of distributions and roles is the newest backup, all of it verified. Without one those detectors say
//! nothing, and it is told.

use std::collections::BTreeMap;

use harness::corpus::FEATURES;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::backup::{self, BackupError, Content};
use super::client::CallError;
use super::drift;
use super::holder::Holder;
use super::item::{Item, Key, Stored, Table};
use crate::s3::{S3, S3Error, name_of};

/// Rows of one page.
const PAGE: u32 = 20_000;
/// Broken references that are told.
const TOLD: usize = 10;

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The node failed.
    #[error("the feature node: {0}")]
    Node(#[from] CallError),
    /// The object store failed.
    #[error("the object store: {0}")]
    Store(#[from] S3Error),
}

/// What each detector caught.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Rows and records that were looked at.
    pub items: u64,
    /// Of these, those that fail their digest or were never written.
    pub digest: u64,
    /// Keys that were written and are not there.
    pub missing: u64,
    /// Features whose population stability index says that they have shifted.
    pub psi: Vec<usize>,
    /// Features whose distributions differ by Kolmogorov-Smirnov.
    pub ks: Vec<usize>,
    /// References that lead nowhere, or to something else, in words.
    pub references: Vec<String>,
    /// Roles that nobody granted, or that were granted something else.
    pub roles: Vec<String>,
    /// The backup that distributions and roles were compared with; or why with none.
    pub baseline: Result<String, String>,
}

impl Audit {
    /// Whether no detector caught anything.
    pub fn clean(&self) -> bool {
        self.digest == 0
            && self.missing == 0
            && self.psi.is_empty()
            && self.ks.is_empty()
            && self.references.is_empty()
            && self.roles.is_empty()
    }
}

/// Looks at a store with every detector. `data` is the bucket of the model objects, `backups` that of the backups.
///
/// # Errors
/// Node or object store cannot be asked. What is wrong with the data is no error, but what the audit is for.
pub async fn audit<H: Holder>(holder: &H, data: &S3, backups: &S3) -> Result<Audit, AuditError> {
    let rows = rows(holder).await?;
    let catalogue = holder.catalogue().await?;
    let altered = |stored: &&Stored| !stored.verifies();
    let references = references(&catalogue, data).await?;
    let mut audit = Audit {
        items: (rows.len() + catalogue.len()) as u64,
        digest: rows.iter().chain(&catalogue).filter(altered).count() as u64,
        missing: holder.missing().await?.len() as u64,
        references,
        psi: Vec::new(),
        ks: Vec::new(),
        roles: Vec::new(),
        baseline: Err("it was not looked for".into()),
    };
    audit.baseline = match backup::newest(backups).await {
        Ok(baseline) => {
            let task = tokio::task::spawn_blocking(move || {
                (shifted(&baseline, &rows), strange_roles(&baseline, &catalogue), baseline.timestamp)
            });
            match task.await {
                Ok((shifted, roles, timestamp)) => {
                    (audit.psi, audit.ks) = shifted;
                    audit.roles = roles;
                    Ok(timestamp)
                }
                Err(e) => Err(e.to_string()),
            }
        }
        Err(BackupError::Store(e)) => return Err(e.into()),
        Err(e) => Err(e.to_string()),
    };
    Ok(audit)
}

async fn rows<H: Holder>(holder: &H) -> Result<Vec<Stored>, AuditError> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let (page, more) = holder.page(from, u64::MAX, PAGE).await?;
        let last = page.last().map(|stored| stored.item.key());
        all.extend(page);
        match last {
            Some(Key::Row(last)) if more => from = last + 1,
            _ => return Ok(all),
        }
    }
}

/// The values of one feature.
fn column<'a>(items: impl Iterator<Item = &'a Item>, feature: usize) -> Vec<f64> {
    let value = |item: &Item| match item {
        Item::Row(row) => row.values.map(|values| values[feature]),
        Item::Record(_) => None,
    };
    items.filter_map(value).collect()
}

/// Features that have shifted, by PSI and by KS.
fn shifted(baseline: &Content, rows: &[Stored]) -> (Vec<usize>, Vec<usize>) {
    let (mut by_psi, mut by_ks) = (Vec::new(), Vec::new());
    for feature in 0..FEATURES {
        let base = column(baseline.rows.iter(), feature);
        let now = column(rows.iter().map(|stored| &stored.item), feature);
        let ((psi, shift), (ks, bound)) = (drift::psi(&base, &now), drift::ks(&base, &now));
        by_psi.extend((psi > shift).then_some(feature));
        by_ks.extend((ks > bound).then_some(feature));
    }
    (by_psi, by_ks)
}

fn strange_roles(baseline: &Content, catalogue: &[Stored]) -> Vec<String> {
    let granted: Vec<_> = baseline.records.iter().filter_map(role).collect();
    let roles = catalogue.iter().filter_map(|stored| role(&stored.item));
    roles.filter(|role| !granted.contains(role)).map(|(name, _)| name.to_owned()).collect()
}

fn role(item: &Item) -> Option<(&str, &str)> {
    match item {
        Item::Record(record) if record.table == Table::Roles => Some((&record.name, record.body.as_deref()?)),
        _ => None,
    }
}

/// The catalogue by table and name; what is no JSON is as if it said nothing.
struct Catalogue(BTreeMap<(Table, String), Value>);

impl Catalogue {
    fn of(stored: &[Stored]) -> Self {
        let record = |stored: &Stored| match &stored.item {
            Item::Record(record) => {
                let body = serde_json::from_str(record.body.as_deref()?).unwrap_or(Value::Null);
                Some(((record.table, record.name.clone()), body))
            }
            Item::Row(_) => None,
        };
        Self(stored.iter().filter_map(record).collect())
    }

    fn get(&self, table: Table, name: &str) -> Option<&Value> {
        self.0.get(&(table, name.to_owned()))
    }

    fn table(&self, table: Table) -> impl Iterator<Item = (&str, &Value)> {
        let of_table = self.0.iter().filter(move |((t, _), _)| *t == table);
        of_table.map(|((_, name), body)| (name.as_str(), body))
    }

    /// What a dependency says of its two ends is true.
    fn dependency(&self, body: &Value) -> Result<(), String> {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let (of, on) = (text("of"), text("on"));
        if let Some(feature) = self.get(Table::Definitions, &on) {
            let model =
                self.get(Table::Models, &of).ok_or(format!("{on} is used by {of}, which is no model"))?;
            let same = feature["version"] == body["version"] && !model.is_null();
            return same.then_some(()).ok_or(format!("{of} uses {on} in a version that is not defined"));
        }
        let feature = self.get(Table::Definitions, &of).ok_or(format!("{of} or {on} is not defined"))?;
        let source = feature["source"].as_str() == Some(&on);
        source.then_some(()).ok_or(format!("{of} is to come from {on}, its definition says otherwise"))
    }

    /// A model's row of compatibility names a model and definitions that are there.
    fn compatibility(&self, body: &Value) -> Result<(), String> {
        let model = body["model"].as_str().unwrap_or_default();
        let registered = self.get(Table::Models, model);
        let known = registered.is_some_and(|registered| registered["version"] == body["model_version"]);
        let defined = self.table(Table::Definitions).any(|(_, d)| d["version"] == body["definitions"]);
        (known && defined)
            .then_some(())
            .ok_or(format!("the compatibility of {model} names what is not there"))
    }
}

/// Every reference that is wrong, in words.
async fn references(stored: &[Stored], data: &S3) -> Result<Vec<String>, AuditError> {
    let catalogue = Catalogue::of(stored);
    let mut wrong = Vec::new();
    for (_, body) in catalogue.table(Table::Dependencies) {
        wrong.extend(catalogue.dependency(body).err());
    }
    for (_, body) in catalogue.table(Table::Compatibility) {
        wrong.extend(catalogue.compatibility(body).err());
    }
    for (name, body) in catalogue.table(Table::Models) {
        wrong.extend(model(name, body, data).await?.err());
    }
    Ok(wrong)
}

/// The object of a model has the checksum of its registration.
async fn model(name: &str, body: &Value, data: &S3) -> Result<Result<(), String>, S3Error> {
    let Some(key) = body["object"].as_u64() else { return Ok(Err(format!("{name} names no object"))) };
    let Some(bytes) = data.get(&name_of(key)).await? else {
        return Ok(Err(format!("object {key} of {name} is gone")));
    };
    let sha: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let same = body["sha256"].as_str() == Some(&sha);
    Ok(same.then_some(()).ok_or(format!("object {key} of {name} has another checksum")))
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { items, digest, missing, psi, ks, references, roles, baseline } = self;
        write!(f, "{items} items: digests caught {digest}, {missing} are missing, ")?;
        match baseline {
            Ok(at) => write!(
                f,
                "PSI caught {} features and KS {} (baseline {at}), {} strange roles",
                psi.len(),
                ks.len(),
                roles.len()
            )?,
            Err(why) => write!(f, "distributions and roles have no baseline ({why})")?,
        }
        write!(f, ", {} broken references", references.len())?;
        for told in references.iter().take(TOLD) {
            write!(f, "; {told}")?;
        }
        roles.iter().take(TOLD).try_for_each(|role| write!(f, "; role {role}"))
    }
}
