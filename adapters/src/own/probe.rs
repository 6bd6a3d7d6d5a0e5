//! Questions that anybody can write, asked on a fixed schedule.
//!
//! A question never waits for the one before it, is bad at its deadline whatever becomes of it, and is asked on a connection
//! of its own unless its author says otherwise. Of an answer no more is read than is looked for, and never without end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::clock::Clock;
use harness::own::ask::{Http, Probe, PromQl};
use harness::own::event::Asked;
use harness::own::stack::Stack;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bucket::BucketPlace;
use super::command::{Spec, run};
use super::grpc;
use super::milvus::MilvusPlace;
use super::place::Sited;
use super::postgres::PostgresPlace;
use super::secrets::Secrets;

/// The most of an answer that is looked through.
const ANSWER_MAX: usize = 1 << 20;
/// How often it is looked whether there was enough.
const LOOK_US: u64 = 100_000;
/// Questions that may be open at a time, at the least and at the most: one more is not asked, which is a bad answer.
const OPEN: (u64, u64) = (64, 4096);

/// What asks on behalf of one service.
#[derive(Debug, Clone)]
pub struct Asker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    probe: Probe,
    http: Option<reqwest::Client>,
    stack: Stack,
    secrets: Arc<Secrets>,
    dir: PathBuf,
    run: String,
}

impl Asker {
    /// Makes one. `dir` is the folder of the stack's file.
    ///
    /// # Errors
    /// If its client cannot be made.
    pub fn new(
        stack: &Stack,
        service: &str,
        secrets: &Arc<Secrets>,
        dir: &Path,
        run: &str,
    ) -> Result<Self, String> {
        let probe = stack.service.get(service).ok_or("there is no such service")?.probe.clone();
        let prom = probe.promql.as_ref().map(|q| Http { ca_file: q.ca_file.clone(), ..Http::plain(&q.url) });
        let http = probe.http.as_ref().or(prom.as_ref()).map(|h| client(h, dir)).transpose()?;
        let (stack, secrets) = (stack.clone(), secrets.clone());
        let (dir, run) = (dir.to_owned(), run.to_owned());
        Ok(Asker { inner: Arc::new(Inner { probe, http, stack, secrets, dir, run }) })
    }

    /// Asks once; the error says why the answer is a bad one.
    ///
    /// # Errors
    /// Why it is.
    pub async fn ask(&self) -> Result<(), String> {
        let inner = &self.inner;
        match timeout(inner.probe.timeout.std(), inner.ask()).await {
            Ok(answer) => answer.map_err(|why| inner.secrets.hide(&why)),
            Err(_) => Err(format!("no answer within {}", inner.probe.timeout)),
        }
    }

    /// Asks again and again, and hands each answer on, until `enough` says so: it sees how long the service has been bad (0
    /// while it is good) and for how long it was asked. Answers with the questions that are still open: dropping them ends them.
    pub async fn watch(
        &self,
        clock: Clock,
        mut take: impl FnMut(Answer),
        mut enough: impl FnMut(u64, u64) -> bool,
    ) -> JoinSet<Answer> {
        let mut metronome = clock.metronome(self.inner.probe.every.std());
        let mut open: JoinSet<Answer> = JoinSet::new();
        let mut bad_since: Option<u64> = None;
        let probe = &self.inner.probe;
        // As many as a slow service may owe: answers that come in time are good ones.
        let open_max = (probe.timeout.us() / probe.every.us().max(1) + 2).clamp(OPEN.0, OPEN.1);
        let began_us = clock.now_us();
        let mut answered: VecDeque<Answer> = VecDeque::new();
        loop {
            tokio::select! {
                tick = metronome.tick() => {
                    let sent_us = clock.now_us().max(tick.due_us);
                    let unanswered =
                        Answer { n: tick.n, due_us: tick.due_us, sent_us, done_us: sent_us, bad: None };
                    if open.len() as u64 >= open_max {
                        let bad = Some(format!("not asked: {open_max} questions before it are still open"));
                        answered.push_back(Answer { bad, ..unanswered });
                    } else {
                        let asker = self.clone();
                        open.spawn(async move {
                            let bad = asker.ask().await.err();
                            Answer { bad, done_us: clock.now_us().max(sent_us), ..unanswered }
                        });
                    }
                }
                Some(Ok(answer)) = open.join_next(), if !open.is_empty() => answered.push_back(answer),
                // Time alone may be enough.
                () = clock.until(clock.now_us() + LOOK_US) => {}
            }
            while let Some(answer) = answered.pop_front() {
                match answer.bad {
                    Some(_) => {
                        bad_since = Some(bad_since.map_or(answer.sent_us, |at| at.min(answer.sent_us)))
                    }
                    None => bad_since = None,
                }
                take(answer);
            }
            let now = clock.now_us();
            if enough(bad_since.map_or(0, |at| now.saturating_sub(at)), now.saturating_sub(began_us)) {
                return open;
            }
        }
    }
}

/// One answer, or the lack of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's number on its schedule.
    pub n: u64,
    /// When it was to be asked.
    pub due_us: u64,
    /// When it was asked.
    pub sent_us: u64,
    /// When it was answered, or given up.
    pub done_us: u64,
    /// Why the answer was a bad one; `None` if it was good.
    pub bad: Option<String>,
}

impl Answer {
    /// As it is written down on behalf of an alarm.
    pub fn asked(self, service: &str) -> Asked {
        let Answer { due_us, sent_us, done_us, bad, .. } = self;
        Asked { service: service.to_owned(), due_us, sent_us, done_us, bad }
    }
}

fn client(http: &Http, dir: &Path) -> Result<reqwest::Client, String> {
    let ca = http.ca_file.as_ref().map(|f| dir.join(f));
    let redirects = match http.redirects {
        true => reqwest::redirect::Policy::limited(10),
        false => reqwest::redirect::Policy::none(),
    };
    let kept = if http.keep_connection { 4 } else { 0 };
    super::tls::http(&http.url, ca.as_deref())?
        .no_proxy()
        .redirect(redirects)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(kept)
        .tcp_nodelay(true)
        .build()
        .map_err(|e| e.to_string())
}

/// An answer, if it is not too large.
async fn whole(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| causes(&e))? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err("the answer is larger than 1 MiB".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// All causes of an error, in a line.
fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl Inner {
    async fn ask(&self) -> Result<(), String> {
        let p = &self.probe;
        if let Some((http, client)) = p.http.as_ref().zip(self.http.as_ref()) {
            return self.http(http, client).await;
        }
        if let Some(tcp) = &p.tcp {
            let connected = tokio::net::TcpStream::connect(&tcp.address).await;
            return connected.map(drop).map_err(|e| format!("{}: {e}", tcp.address));
        }
        if let Some(command) = &p.command {
            return self.command(command).await;
        }
        if let Some((q, client)) = p.promql.as_ref().zip(self.http.as_ref()) {
            return self.promql(q, client).await;
        }
        if let Some(q) = &p.grpc_health {
            let ca = q.ca_file.as_ref().map(|f| self.dir.join(f));
            let address = grpc::Address::new(&q.url, ca.as_deref())?;
            return grpc::health(&address, &q.service, p.timeout.std()).await;
        }
        if let Some(q) = &p.search {
            return MilvusPlace::new(&self.sited(&q.component)?)?.answers_well(q, p.timeout.std()).await;
        }
        if let Some(q) = &p.s3 {
            let place = BucketPlace::new(&self.sited(&q.component)?)?;
            return place.object(&q.key, q.sha256.as_deref()).await;
        }
        let sql = p.sql.as_ref().ok_or("it asks nothing")?;
        let place = PostgresPlace::new(&self.sited(&sql.component)?)?;
        let first = place.first_value(&sql.query).await.map_err(|e| e.to_string())?;
        one_of(first.as_deref(), &sql.one_of)
    }

    fn sited(&self, component: &str) -> Result<Sited<'_>, String> {
        let component = self.stack.component.get(component).ok_or("there is no such component")?;
        let (secrets, dir, run) = (&self.secrets, self.dir.as_path(), self.run.as_str());
        Ok(Sited { component, canary: None, secrets, scratch: false, dir, run })
    }

    async fn promql(&self, q: &PromQl, client: &reqwest::Client) -> Result<(), String> {
        let mut url = reqwest::Url::parse(&q.url).map_err(|e| e.to_string())?;
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/query"));
        url.query_pairs_mut().append_pair("query", &q.query);
        let answer = client.get(url).send().await.map_err(|e| causes(&e))?;
        let (status, body) = (answer.status(), whole(answer).await?);
        let json: serde_json::Value =
            serde_json::from_slice(&body).map_err(|e| format!("status {status}, and no JSON: {e}"))?;
        if json["status"] != "success" {
            return Err(format!("status {status}: {}", json["error"].as_str().unwrap_or("no success")));
        }
        let result = &json["data"]["result"];
        let sample = match json["data"]["resultType"].as_str() {
            Some("scalar") => result,
            _ if result.as_array().is_some_and(|all| all.len() > 1) => {
                return Err("the query gives several samples: aggregate it to one".into());
            }
            _ => &result[0]["value"],
        };
        let number = sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|n| n.is_finite()).ok_or("the query gives no sample")?;
        let good =
            q.at_least.is_none_or(|least| number >= least) && q.at_most.is_none_or(|most| number <= most);
        if good { Ok(()) } else { Err(format!("it is {number}")) }
    }

    async fn http(&self, http: &Http, client: &reqwest::Client) -> Result<(), String> {
        let method = reqwest::Method::from_bytes(http.method.as_bytes()).map_err(|e| e.to_string())?;
        let mut request = client.request(method, &http.url);
        for (name, value) in &http.headers {
            request = request.header(name, self.secrets.fill(value)?);
        }
        if let Some(body) = &http.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await.map_err(|e| causes(&e))?;
        let status = answer.status().as_u16();
        let wanted = http.status.map_or((200..300).contains(&status), |s| s == status);
        if !wanted {
            return Err(format!("status {status}"));
        }
        if http.json.is_none() && http.text.is_none() {
            return Ok(());
        }
        let body = whole(answer).await?;
        if let Some(text) = &http.text
            && !String::from_utf8_lossy(&body).contains(text.as_str())
        {
            return Err("the answer lacks the text that is looked for".into());
        }
        let Some(pointer) = &http.json else { return Ok(()) };
        let json: serde_json::Value = serde_json::from_slice(&body).map_err(|e| format!("no JSON: {e}"))?;
        let found = json.pointer(pointer).ok_or_else(|| format!("nothing stands at {pointer}"))?;
        let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        one_of(Some(&text), &http.one_of)
    }

    async fn command(&self, command: &harness::own::ask::Run) -> Result<(), String> {
        let own = command.env.iter().filter_map(|n| Some((n.clone(), self.secrets.get(n)?.to_owned())));
        let mut said = Vec::new();
        let mut feed = |piece: &[u8]| {
            said.extend_from_slice(piece);
            if said.len() > ANSWER_MAX { Err("printed more than 1 MiB".into()) } else { Ok(()) }
        };
        let spec = Spec {
            words: &command.run,
            dir: &self.dir,
            env: own.collect(),
            limit: self.probe.timeout.std(),
            run: &self.run,
            log: None,
            secrets: &self.secrets,
            sweeps: false,
            keeps: false,
        };
        let ended = run(spec, None, Some(&mut feed), std::future::pending()).await;
        if ended.code != Some(0) {
            return Err(ended.how);
        }
        match &command.text {
            Some(text) if !String::from_utf8_lossy(&said).contains(text.as_str()) => {
                Err("what it printed lacks the text that is looked for".into())
            }
            _ => Ok(()),
        }
    }
}

fn one_of(found: Option<&str>, wanted: &[String]) -> Result<(), String> {
    match found {
        None => Err("no row came back".into()),
        Some(_) if wanted.is_empty() => Ok(()),
        Some(found) if wanted.iter().any(|w| w == found) => Ok(()),
        // What stands there may be data of users.
        Some(_) => Err(format!("it is not {}", wanted.join(" or "))),
    }
}

#[cfg(test)]
mod tests;
