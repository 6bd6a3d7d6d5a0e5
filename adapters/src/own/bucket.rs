//! A bucket of an S3 server that somebody else runs.
//!
//! A witness is the names, sizes and SHA-256 of all objects under a prefix; every byte is read, and none is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use harness::own::event::{Planted, Sum};
use harness::own::stack::Witness;
use harness::time::unix_us_of;

use super::by_command::{Reader, read_by_command};
use super::place::{Listed, OF_RUN, Place, Record, Sited, Unread, digest};
use super::sum::Summer;
use crate::s3::{self, Keys, S3, S3Error};

/// How long a call of ours may take.
const LIMIT: Duration = Duration::from_secs(15);
/// How long reading one object may take.
const OBJECT_LIMIT: Duration = Duration::from_secs(600);
/// More objects are not listed.
const OBJECTS_MAX: usize = 2_000_000;
/// Objects that are read at a time.
const AT_ONCE: usize = 8;
/// Where our records lie in a scratch place.
const MARKERS: &str = "gameday-marker/";
/// Canaries that are read of a listing: each is a question of its own.
const CANARIES_MAX: usize = 2_000;

/// A bucket and its keys.
#[derive(Debug)]
pub struct BucketPlace {
    s3: S3,
    bucket: String,
    prefix: Option<String>,
    scratch: bool,
    reader: Reader,
}

fn unread(e: &S3Error) -> Unread {
    match e {
        S3Error::Connect { why, .. } if why.contains("refused") => Unread::Nobody(e.to_string()),
        S3Error::Refused { code, .. } if code == "NoSuchBucket" => Unread::Nobody(e.to_string()),
        _ => Unread::Failed(e.to_string()),
    }
}

impl BucketPlace {
    /// A place of product `s3`.
    ///
    /// # Errors
    /// If its address cannot be one.
    pub fn new(sited: &Sited<'_>) -> Result<Self, String> {
        let c = sited.component;
        let (url, bucket) = c.url.as_deref().zip(c.bucket.as_deref()).ok_or("it has no address")?;
        let [access, secret] = c.keys_env.as_ref().ok_or("it has no keys")?;
        let value = |name: &String| sited.secrets.get(name).unwrap_or_default().to_owned();
        let keys = Keys::new(value(access), value(secret));
        let ca = c.ca_file.as_ref().map(|f| sited.dir.join(f));
        let client = super::tls::http(url, ca.as_deref())?;
        let s3 = S3::by(client, url, bucket, &keys).map_err(|e| e.to_string())?.within(LIMIT);
        let told = [
            ("GAMEDAY_URL", url.to_owned()),
            ("GAMEDAY_BUCKET", bucket.to_owned()),
            ("GAMEDAY_ACCESS_KEY", keys.access.clone()),
            ("GAMEDAY_SECRET_KEY", keys.secret.clone()),
        ];
        let told = told.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let prefix = sited.canary.and_then(|c| c.prefix.clone());
        let (bucket, scratch) = (bucket.to_owned(), sited.scratch);
        Ok(BucketPlace { s3, bucket, prefix, scratch, reader: Reader::new(sited, told) })
    }

    /// Reads an object whole, and compares its bytes if they are known.
    ///
    /// # Errors
    /// Why it is not what it should be.
    pub async fn object(&self, key: &str, sha256: Option<&str>) -> Result<(), String> {
        let (_, hash) =
            self.s3.sum(key).await.map_err(|e| e.to_string())?.ok_or("there is no such object")?;
        let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        match sha256.filter(|wanted| *wanted != hex) {
            None => Ok(()),
            Some(_) => Err("its bytes are others".into()),
        }
    }

    fn prefix(&self) -> Result<&str, Unread> {
        self.prefix.as_deref().ok_or_else(|| Unread::Failed("no place is named for canaries".into()))
    }

    fn is_ours(&self, key: &str) -> bool {
        let canary = self.prefix.as_ref().is_some_and(|p| key.starts_with(p.as_str()));
        canary || key.starts_with(MARKERS)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<s3::Listed>, Unread> {
        self.s3.list_all(prefix, OBJECTS_MAX).await.map_err(|e| unread(&e))
    }

    /// Where the record of a run lies here.
    fn marker(&self, id: &str) -> Result<String, Unread> {
        if self.scratch {
            return Ok(format!("{MARKERS}{id}"));
        }
        Ok(format!("{}{OF_RUN}{id}", self.prefix()?))
    }
}

/// The moment and the name in a canary's key.
fn parse(prefix: &str, key: &str) -> Option<(u64, String)> {
    let name = key.strip_prefix(prefix)?;
    let (at, word) = name.strip_prefix("c-")?.split_once('-')?;
    let plain = word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    Some((at.parse().ok()?, name.to_owned())).filter(|_| plain)
}

#[async_trait]
impl Place for BucketPlace {
    async fn identify(&self) -> Result<BTreeMap<String, String>, Unread> {
        // Whether anybody answers at all, and knows the bucket.
        self.s3.list(MARKERS, None).await.map_err(|e| unread(&e))?;
        Ok([("bucket".to_owned(), self.bucket.clone())].into())
    }

    async fn holds(
        &self,
        _witnesses: &[(String, Witness)],
        _t0_unix_us: Option<u64>,
    ) -> Result<(u64, Vec<String>), Unread> {
        let marker = |key: &str| {
            key.starts_with(MARKERS)
                || self.prefix.as_ref().is_some_and(|p| key.starts_with(&format!("{p}{OF_RUN}")))
        };
        let mut names: Vec<String> = self.list("").await?.into_iter().map(|o| o.key).collect();
        names.retain(|key| !marker(key));
        let count = names.len() as u64;
        names.truncate(5);
        Ok((count, names))
    }

    async fn canaries(&self) -> Result<Listed, Unread> {
        let prefix = self.prefix()?;
        let mut keys: Vec<(u64, String)> =
            self.list(prefix).await?.iter().filter_map(|o| parse(prefix, &o.key)).collect();
        keys.sort();
        let count = keys.len() as u64;
        let newest = keys.split_off(keys.len().saturating_sub(CANARIES_MAX));
        let read = newest.into_iter().map(|(at_unix_us, id)| async move {
            let body = self.s3.get(&format!("{prefix}{id}")).await.map_err(|e| unread(&e))?;
            // It may be pruned between both questions.
            let value = body.map(|b| String::from_utf8_lossy(&b).into_owned());
            Ok::<_, Unread>(value.map(|v| Planted {
                at_unix_us,
                store_unix_us: None,
                id,
                digest: digest(&v),
            }))
        });
        let read: Vec<Option<Planted>> = stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await?;
        let listed = Listed::of(read.into_iter().flatten().collect(), None);
        Ok(Listed { count: count.max(listed.count), ..listed })
    }

    async fn witness(
        &self,
        w: &Witness,
        t0_unix_us: Option<u64>,
        newer: &mut BTreeSet<String>,
    ) -> Result<Sum, Unread> {
        let Some(prefix) = &w.prefix else {
            return read_by_command(w, &self.reader, t0_unix_us).await;
        };
        let all = self.list(prefix).await?;
        if !self.scratch
            && let Some(t0) = t0_unix_us
        {
            // What nobody can date counts as old: it must be back.
            let later = all.iter().filter(|o| unix_us_of(&o.modified).is_some_and(|at| at >= t0));
            newer.extend(later.map(|o| o.key.clone()));
        }
        let wanted = all.into_iter().map(|o| o.key).filter(|key| !self.is_ours(key) && !newer.contains(key));
        let slow = self.s3.within(OBJECT_LIMIT);
        let slow = &slow;
        let sums = wanted.map(|key| async move {
            let sum = slow.sum(&key).await.map_err(|e| unread(&e))?;
            let line = sum.map(|(size, hash)| {
                let mut line = format!("{key}\t{size}\t").into_bytes();
                line.extend_from_slice(&hash);
                line
            });
            Ok::<_, Unread>(line)
        });
        let read = async {
            let mut summer = Summer::default();
            let mut lines = stream::iter(sums).buffer_unordered(AT_ONCE);
            while let Some(line) = lines.next().await {
                if let Some(line) = line? {
                    summer.line(&line);
                }
            }
            Ok(summer.end())
        };
        match tokio::time::timeout(w.limit.std(), read).await {
            Ok(sum) => sum,
            Err(_) => Err(Unread::Failed(format!("not read within {}", w.limit))),
        }
    }

    async fn inventory(&self) -> Result<Option<Sum>, Unread> {
        Ok(None)
    }

    async fn mark(&self, id: &str) -> Result<(), Unread> {
        self.s3.put(&self.marker(id)?, id.to_owned()).await.map(drop).map_err(|e| unread(&e))
    }

    fn may_lag(&self) -> bool {
        true
    }

    async fn lock(&self) -> Result<Option<Box<dyn std::any::Any + Send + Sync>>, Unread> {
        Ok(None)
    }

    async fn marked(&self, id: &str) -> Result<bool, Unread> {
        let mut keys = vec![format!("{MARKERS}{id}")];
        keys.extend(self.prefix.iter().map(|p| format!("{p}{OF_RUN}{id}")));
        for key in keys {
            match self.s3.head(&key).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(e) => return Err(unread(&e)),
            }
        }
        Ok(false)
    }

    async fn unmark(&self, id: &str) -> Result<(), Unread> {
        self.s3.delete(&self.marker(id)?).await.map_err(|e| unread(&e))
    }

    async fn plant(&self, record: &Record) -> Result<(), Unread> {
        let key = format!("{}{}", self.prefix()?, record.id);
        self.s3.put(&key, record.value.clone()).await.map(drop).map_err(|e| unread(&e))
    }

    async fn prune(&self, before_unix_us: u64) -> Result<u64, Unread> {
        let prefix = self.prefix()?;
        let mut gone = 0;
        for object in self.list(prefix).await? {
            if parse(prefix, &object.key).is_some_and(|(at, _)| at < before_unix_us) {
                self.s3.delete(&object.key).await.map_err(|e| unread(&e))?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

/// A new canary, planted now.
pub fn record() -> std::io::Result<Record> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_unix_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let word = crate::local::private::word()?;
    let value = crate::local::private::word()?;
    Ok(Record { id: format!("c-{at_unix_us}-{}", &word[..16]), at_unix_us, value })
}
