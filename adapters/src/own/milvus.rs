//! A Milvus that somebody else runs, 2.3 or later.
//!
//! A connection for each question, so that none is answered by what was open before a restart; all that is asked is asked at
//! Strong consistency. Of users' collections nothing is changed, nor loaded: what is not loaded cannot be asked, by them neither.

mod canary;
mod golden;
mod layout;
mod link;
mod read;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use harness::own::ask::Search;
use harness::own::event::{Answers, Sum};
use harness::own::stack::Witness;
use tokio::time::timeout;

use super::by_command::{Reader, read_by_command};
use super::grpc::Address;
use super::place::{Listed, OF_RUN, Place, Queries, Record, Sited, Unread};
use super::sum::Summer;
use layout::Layout;
use link::{Link, Named, Site};

/// What the names of our marks in a scratch place begin with.
const MARKS: &str = "gameday_marker_";

/// A database of a Milvus.
#[derive(Debug)]
pub struct MilvusPlace {
    site: Site,
    canary: Option<String>,
    scratch: bool,
    run: String,
    reader: Reader,
}

impl MilvusPlace {
    /// A place of product `milvus`.
    ///
    /// # Errors
    /// If its address cannot be one.
    pub fn new(sited: &Sited<'_>) -> Result<Self, String> {
        let c = sited.component;
        let url = c.url.as_deref().ok_or("it has no address")?;
        let ca = c.ca_file.as_ref().map(|f| sited.dir.join(f));
        let token = match &c.token_env {
            Some(name) => Some(sited.secrets.get(name).ok_or_else(|| format!("{name} is not set"))?),
            None => None,
        };
        let database = c.database.clone().unwrap_or_default();
        let told = [
            ("GAMEDAY_URL", url.to_owned()),
            ("GAMEDAY_TOKEN", token.unwrap_or_default().to_owned()),
            ("GAMEDAY_DATABASE", database.clone()),
        ];
        let told = told.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(MilvusPlace {
            site: Site::new(Address::new(url, ca.as_deref())?, token, database)?,
            canary: sited.canary.and_then(|c| c.collection.clone()),
            scratch: sited.scratch,
            run: sited.run.to_owned(),
            reader: Reader::new(sited, told),
        })
    }

    /// Whether a search is answered as its author says.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn answers_well(&self, search: &Search, limit: Duration) -> Result<(), String> {
        let link = self.site.connect().await.map_err(|e| e.to_string())?;
        golden::probe(&link, search, limit).await
    }

    fn canary(&self) -> Result<&str, Unread> {
        self.canary.as_deref().ok_or_else(|| Unread::Failed("no collection is named for canaries".into()))
    }

    /// Collections that are not ours.
    async fn theirs(&self, link: &Link) -> Result<Vec<Named>, Unread> {
        let mut all = link.collections().await?;
        all.retain(|c| !c.name.starts_with(MARKS));
        Ok(all)
    }
}

#[async_trait]
impl Place for MilvusPlace {
    /// What tells one server from another is when its nodes were started, to the nanosecond: no other server says the same,
    /// whatever the address. A name of a database tells two databases of one server apart. Where a server does not tell (some
    /// that are run by others), records of ours alone prove that there are two places.
    async fn identify(&self) -> Result<BTreeMap<String, String>, Unread> {
        let link = self.site.connect().await?;
        let all = link.collections().await?;
        let marks = all.iter().filter(|c| c.name.starts_with(MARKS)).count();
        let database = if self.site.database.is_empty() { "default" } else { &self.site.database };
        let mut facts: BTreeMap<String, String> = [
            ("version", link.version().await?),
            ("database", database.to_owned()),
            ("collections", (all.len() - marks).to_string()),
            ("markers", marks.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some((first, last)) = link.started().await {
            facts.insert("started".into(), first);
            facts.insert("started_last".into(), last);
        }
        Ok(facts)
    }

    async fn holds(
        &self,
        _witnesses: &[(String, Witness)],
        _t0_unix_us: Option<u64>,
    ) -> Result<(u64, Vec<String>), Unread> {
        let link = self.site.connect().await?;
        // Canaries of an earlier restore are no less in the way.
        let mut names: Vec<String> = self.theirs(&link).await?.into_iter().map(|c| c.name).collect();
        let count = names.len() as u64;
        names.truncate(5);
        Ok((count, names))
    }

    async fn canaries(&self) -> Result<Listed, Unread> {
        let collection = self.canary()?;
        let link = self.site.connect().await?;
        if !link.has(collection).await? {
            // Not planted yet in the source; not come back in the scratch place.
            return match self.scratch {
                true => Err(Unread::Failed(format!("there is no collection `{collection}`"))),
                false => Ok(Listed::default()),
            };
        }
        Ok(Listed::of(canary::list(&link, collection).await?, None))
    }

    async fn witness(
        &self,
        w: &Witness,
        t0_unix_us: Option<u64>,
        _newer: &mut BTreeSet<String>,
    ) -> Result<Sum, Unread> {
        let Some(collection) = &w.collection else {
            return read_by_command(w, &self.reader, t0_unix_us).await;
        };
        let link = self.site.connect().await?;
        match timeout(w.limit.std(), read::sum(&link, collection)).await {
            Ok(sum) => sum,
            Err(_) => Err(Unread::Failed(format!("not read within {}", w.limit))),
        }
    }

    async fn queries(&self, w: &Witness) -> Result<Option<Queries>, Unread> {
        let Some(collection) = &w.collection else { return Ok(None) };
        let link = self.site.connect().await?;
        match timeout(w.limit.std(), golden::queries(&link, collection, &self.run)).await {
            Ok(queries) => queries.map(Some),
            Err(_) => Err(Unread::Failed(format!("not read within {}", w.limit))),
        }
    }

    async fn answers(&self, w: &Witness, queries: &Queries) -> Result<Vec<Answers>, Unread> {
        let Some(collection) = &w.collection else { return Ok(Vec::new()) };
        let link = self.site.connect().await?;
        match timeout(w.limit.std(), golden::answers(&link, collection, queries, &self.run)).await {
            Ok(answers) => answers,
            Err(_) => Err(Unread::Failed(format!("not answered within {}", w.limit))),
        }
    }

    async fn inventory(&self) -> Result<Option<Sum>, Unread> {
        let link = self.site.connect().await?;
        let mut summer = Summer::default();
        for c in self.theirs(&link).await?.iter().filter(|c| Some(&c.name) != self.canary.as_ref()) {
            let Named { name, id, created } = c;
            summer.line(format!("collection {name} {id} {created}").as_bytes());
            let described = link.describe(name).await?;
            let indexes = link.indexes(name).await?;
            let partitions = link.partitions(name).await?;
            described.aliases.iter().for_each(|a| summer.line(format!("alias {a} of {name}").as_bytes()));
            for index in &indexes {
                let mut params: Vec<String> =
                    index.params.iter().map(|p| format!("{}={}", p.key, p.value)).collect();
                params.sort();
                let line =
                    format!("index {} of {name}.{} {}", index.index_name, index.field_name, params.join(" "));
                summer.line(line.as_bytes());
            }
            // One that cannot be read as a witness has a name all the same.
            if let Ok(layout) = Layout::new(name, &described, &indexes, partitions) {
                layout.lines.iter().for_each(|line| summer.line(format!("{name}: {line}").as_bytes()));
            }
        }
        Ok(Some(summer.end()))
    }

    async fn mark(&self, id: &str) -> Result<(), Unread> {
        if self.scratch {
            let link = self.site.connect().await?;
            return canary::make(&link, &format!("{MARKS}{id}")).await;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_unix_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.plant(&Record { id: format!("{OF_RUN}{id}"), at_unix_us, value: id.to_owned() }).await
    }

    fn may_lag(&self) -> bool {
        false
    }

    async fn lock(&self) -> Result<Option<Box<dyn std::any::Any + Send + Sync>>, Unread> {
        Ok(None)
    }

    async fn marked(&self, id: &str) -> Result<bool, Unread> {
        let link = self.site.connect().await?;
        if link.has(&format!("{MARKS}{id}")).await? {
            return Ok(true);
        }
        let Some(collection) = &self.canary else { return Ok(false) };
        if !link.has(collection).await? {
            return Ok(false);
        }
        canary::is_there(&link, collection, &format!("{OF_RUN}{id}")).await
    }

    async fn unmark(&self, id: &str) -> Result<(), Unread> {
        let link = self.site.connect().await?;
        let collection = if self.scratch { format!("{MARKS}{id}") } else { self.canary()?.to_owned() };
        if !link.has(&collection).await? {
            return Ok(());
        }
        if self.scratch {
            return canary::remove(&link, &collection).await;
        }
        canary::is_ours(&link, &collection).await?;
        canary::delete(&link, &collection, &[format!("{OF_RUN}{id}")]).await
    }

    async fn plant(&self, record: &Record) -> Result<(), Unread> {
        let collection = self.canary()?;
        let link = self.site.connect().await?;
        canary::ready(&link, collection).await?;
        canary::plant(&link, collection, record).await
    }

    async fn prune(&self, before_unix_us: u64) -> Result<u64, Unread> {
        let collection = self.canary()?;
        let link = self.site.connect().await?;
        canary::ready(&link, collection).await?;
        let all = canary::list(&link, collection).await?;
        let old =
            |p: &harness::own::event::Planted| p.at_unix_us < before_unix_us && !p.id.starts_with(OF_RUN);
        let ids: Vec<String> = all.into_iter().filter(old).map(|p| p.id).collect();
        canary::delete(&link, collection, &ids).await?;
        Ok(ids.len() as u64)
    }
}
