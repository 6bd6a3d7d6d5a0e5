//! Anything that gameday has no client for: asked by the user's own commands.
//!
//! A command is told where to ask by the variables of that place alone, so that one that is told of the scratch place cannot
//! reach the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use harness::own::event::{Planted, Sum};
use harness::own::stack::{Canary, Command, Witness};
use harness::time::wall_millis;

use super::command::{Feed, Spec};
use super::place::{Listed, OF_RUN, Place, Record, Sited, Unread, digest};
use super::secrets::Secrets;
use super::sum::Summer;

/// A listing that is longer is none.
const LISTING_MAX: usize = 32 << 20;

/// A place of product `command`.
#[derive(Debug)]
pub struct CommandPlace {
    reader: Reader,
    canary: Option<Canary>,
}

impl CommandPlace {
    /// Opens it.
    pub fn new(sited: &Sited<'_>) -> Self {
        let value = |name: &String| Some((name.clone(), sited.secrets.get(name)?.to_owned()));
        let told = sited.component.env.iter().filter_map(value).collect();
        CommandPlace { reader: Reader::new(sited, told), canary: sited.canary.cloned() }
    }

    fn canary(&self) -> Result<&Canary, Unread> {
        self.canary.as_ref().ok_or_else(|| Unread::Failed("it has no canaries".into()))
    }

    async fn play(
        &self,
        command: Option<&Command>,
        more: &[(&str, String)],
        feed: Option<Feed<'_>>,
    ) -> Result<(), Unread> {
        let command = command.ok_or_else(|| Unread::Failed("no command is named for it".into()))?;
        self.reader.play(command, command.limit.std(), more, feed).await
    }

    async fn list(&self) -> Result<Vec<(Planted, String)>, Unread> {
        let canary = self.canary()?;
        let mut text = Vec::new();
        let mut feed = |piece: &[u8]| {
            text.extend_from_slice(piece);
            if text.len() > LISTING_MAX { Err("printed more than 32 MiB".into()) } else { Ok(()) }
        };
        self.play(canary.list.as_ref(), &[], Some(&mut feed)).await?;
        let line = |(i, line): (usize, &str)| {
            let wrong = || Unread::Failed(format!("line {} of the list is not `id moment value`", i + 1));
            let mut words = line.split_whitespace();
            let (id, at, value) =
                (words.next().ok_or_else(wrong)?, words.next().ok_or_else(wrong)?, words.next());
            let value = value.filter(|_| words.next().is_none()).ok_or_else(wrong)?;
            let at_unix_us = at.parse().map_err(|_| wrong())?;
            let planted =
                Planted { at_unix_us, store_unix_us: None, id: id.to_owned(), digest: digest(value) };
            Ok((planted, value.to_owned()))
        };
        let text =
            String::from_utf8(text).map_err(|_| Unread::Failed("the list is not text in UTF-8".into()))?;
        text.lines().filter(|l| !l.trim().is_empty()).enumerate().map(line).collect()
    }
}

/// How the commands of a place are run: where, and told what.
#[derive(Debug)]
pub(super) struct Reader {
    /// Of that place alone.
    told: Vec<(String, String)>,
    scratch: bool,
    secrets: Arc<Secrets>,
    dir: PathBuf,
    run: String,
}

impl Reader {
    pub(super) fn new(sited: &Sited<'_>, told: Vec<(String, String)>) -> Reader {
        let (dir, run) = (sited.dir.to_owned(), sited.run.to_owned());
        Reader { told, scratch: sited.scratch, secrets: sited.secrets.clone(), dir, run }
    }

    /// Runs a command to its good end.
    async fn play(
        &self,
        command: &Command,
        limit: Duration,
        more: &[(&str, String)],
        feed: Option<Feed<'_>>,
    ) -> Result<(), Unread> {
        let own = command.env.iter().filter_map(|n| Some((n.clone(), self.secrets.get(n)?.to_owned())));
        let mut env: Vec<(String, String)> = own.chain(self.told.iter().cloned()).collect();
        env.push(("GAMEDAY_PLACE".into(), if self.scratch { "scratch" } else { "source" }.into()));
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let Reader { secrets, dir, run, .. } = self;
        let spec = Spec {
            words: &command.run,
            dir,
            env,
            limit,
            run,
            log: None,
            secrets,
            sweeps: false,
            keeps: false,
        };
        let ended = super::command::run(spec, None, feed, std::future::pending()).await;
        if ended.code == Some(0) { Ok(()) } else { Err(Unread::Failed(ended.how)) }
    }
}

/// Reads a witness by its command: each line that it prints is one thing that must come back.
pub(super) async fn read_by_command(
    w: &Witness,
    reader: &Reader,
    t0_unix_us: Option<u64>,
) -> Result<Sum, Unread> {
    let command = w.command.as_ref().ok_or_else(|| Unread::Failed("nobody says how it is asked".into()))?;
    let mut more = Vec::new();
    if let Some(us) = t0_unix_us {
        let at = wall_millis(UNIX_EPOCH + Duration::from_micros(us));
        more.push(("GAMEDAY_T0", at.map_err(|e| Unread::Failed(e.to_string()))?));
    }
    let mut summer = Summer::default();
    let mut feed = |piece: &[u8]| summer.feed(piece);
    reader.play(command, command.limit.std().min(w.limit.std()), &more, Some(&mut feed)).await?;
    Ok(summer.end())
}

#[async_trait]
impl Place for CommandPlace {
    async fn identify(&self) -> Result<BTreeMap<String, String>, Unread> {
        Ok(BTreeMap::new())
    }

    async fn holds(
        &self,
        witnesses: &[(String, Witness)],
        t0_unix_us: Option<u64>,
    ) -> Result<(u64, Vec<String>), Unread> {
        let (mut count, mut names) = (0, Vec::new());
        for (id, w) in witnesses {
            // What cannot be read there is not there yet.
            let rows = self.witness(w, t0_unix_us, &mut BTreeSet::new()).await.map_or(0, |sum| sum.rows);
            if rows > 0 {
                names.push(format!("{rows} lines of {id}"));
            }
            count += rows;
        }
        if self.canary.is_some() {
            let planted = self
                .list()
                .await
                .map_or(0, |all| all.iter().filter(|(p, _)| !p.id.starts_with(OF_RUN)).count());
            if planted > 0 {
                names.push(format!("{planted} canaries"));
            }
            count += planted as u64;
        }
        Ok((count, names))
    }

    async fn canaries(&self) -> Result<Listed, Unread> {
        Ok(Listed::of(self.list().await?.into_iter().map(|(planted, _)| planted).collect(), None))
    }

    async fn witness(
        &self,
        w: &Witness,
        t0_unix_us: Option<u64>,
        _newer: &mut BTreeSet<String>,
    ) -> Result<Sum, Unread> {
        read_by_command(w, &self.reader, t0_unix_us).await
    }

    async fn inventory(&self) -> Result<Option<Sum>, Unread> {
        Ok(None)
    }

    async fn mark(&self, id: &str) -> Result<(), Unread> {
        let at = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_unix_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        self.plant(&Record { id: format!("{OF_RUN}{id}"), at_unix_us, value: id.to_owned() }).await
    }

    fn may_lag(&self) -> bool {
        false
    }

    async fn lock(&self) -> Result<Option<Box<dyn std::any::Any + Send + Sync>>, Unread> {
        Ok(None)
    }

    async fn marked(&self, id: &str) -> Result<bool, Unread> {
        let name = format!("{OF_RUN}{id}");
        Ok(self.list().await?.iter().any(|(planted, _)| planted.id == name))
    }

    async fn unmark(&self, id: &str) -> Result<(), Unread> {
        let name = [("GAMEDAY_CANARY_ID", format!("{OF_RUN}{id}"))];
        self.play(self.canary()?.remove.as_ref(), &name, None).await
    }

    async fn plant(&self, record: &Record) -> Result<(), Unread> {
        let more = [
            ("GAMEDAY_CANARY_ID", record.id.clone()),
            ("GAMEDAY_CANARY_AT", record.at_unix_us.to_string()),
            ("GAMEDAY_CANARY_VALUE", record.value.clone()),
        ];
        self.play(self.canary()?.plant.as_ref(), &more, None).await
    }

    async fn prune(&self, before_unix_us: u64) -> Result<u64, Unread> {
        let old: Vec<String> = self
            .list()
            .await?
            .into_iter()
            .filter(|(p, _)| p.at_unix_us < before_unix_us && !p.id.starts_with(OF_RUN))
            .map(|(p, _)| p.id)
            .collect();
        for id in &old {
            self.play(self.canary()?.remove.as_ref(), &[("GAMEDAY_CANARY_ID", id.clone())], None).await?;
        }
        Ok(old.len() as u64)
    }
}
