//! A client for any S3 server: `rusty-s3` signs, `reqwest` carries.
//!
//! It is made for measuring, so it hides nothing: no retries, no redirects, no proxy from the environment, a limit on
//! every call, and a new connection for each request. A pool would save a handshake on loopback and cost the
//! one thing a ledger needs to know: a request that dies on a connection kept from before a cut link may or may
//! not have been read. Only an answer that an S3 server gives counts as an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, Response, StatusCode, Url};
use rusty_s3::actions::S3Action;
use rusty_s3::{Bucket, Credentials, UrlStyle};
use sha2::{Digest as _, Sha256};

use super::answers::{bucket_names, error_code, etag, lacks, length, page};
use super::durable::check_key;
use super::{Keys, S3Error};

/// How long a signature is good for: longer than any call, shorter than a drill.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// An answer about an error, or a page of a listing, is never larger.
const XML_LIMIT: u64 = 16 << 20;
/// A path segment that leads nowhere: the address of no bucket is that of the server.
const SERVER: &str = ".";
/// Keys asked for in a page.
const PAGE: usize = 1000;

/// A client of one bucket. Clones are cheap and share nothing that a fault could poison.
#[derive(Debug, Clone)]
pub struct S3 {
    http: Client,
    bucket: Arc<Bucket>,
    credentials: Arc<Credentials>,
    limit: Duration,
    max_object: u64,
}

/// What a server says about an object without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Size in bytes.
    pub size: u64,
    /// Entity tag, as sent.
    pub etag: String,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was stored, RFC 3339, by the server's clock.
    pub modified: String,
}

/// A part of a listing, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// True if there are objects after the last of these.
    pub more: bool,
}

impl S3 {
    /// A client of `bucket` at `endpoint` (`http://host:port`), with a limit of ten seconds a call and 64 MiB an
    /// object.
    pub fn new(endpoint: &str, bucket: &str, keys: &Keys) -> Result<Self, S3Error> {
        Self::by(crate::http::plain(), endpoint, bucket, keys)
    }

    /// The same, with a client that knows more: whose certificates to believe.
    pub(crate) fn by(
        client: reqwest::ClientBuilder,
        endpoint: &str,
        bucket: &str,
        keys: &Keys,
    ) -> Result<Self, S3Error> {
        let url: Url = endpoint
            .parse()
            .map_err(|e| S3Error::Config(format!("endpoint {endpoint:?} is not a URL: {e}")))?;
        let bucket = Bucket::new(url, UrlStyle::Path, bucket.to_owned(), "us-east-1")
            .map_err(|e| S3Error::Config(format!("endpoint {endpoint:?}, bucket {bucket:?}: {e}")))?;
        let http = client
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| S3Error::Config(e.to_string()))?;
        Ok(Self {
            http,
            bucket: Arc::new(bucket),
            credentials: Arc::new(Credentials::new(keys.access.clone(), keys.secret.clone())),
            limit: Duration::from_secs(10),
            max_object: 64 << 20,
        })
    }

    /// The bucket.
    pub(super) fn name(&self) -> &str {
        self.bucket.name()
    }

    /// The same client with another limit for a whole call, from connecting to the last byte.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The same client with another limit for the size of an object that is read.
    #[must_use]
    pub fn max_object(&self, bytes: u64) -> Self {
        Self { max_object: bytes, ..self.clone() }
    }

    /// Makes the bucket; one that is ours already is fine.
    pub async fn create_bucket(&self) -> Result<(), S3Error> {
        let op = "create bucket";
        let action = self.bucket.create_bucket(&self.credentials);
        self.call(op, async {
            let answer = self.send(op, Method::PUT, action.sign(SIGNED_FOR), action.body().into()).await?;
            if answer.status().is_success() {
                return Ok(());
            }
            match self.refusal(op, answer).await {
                S3Error::Refused { code, .. } if code == "BucketAlreadyOwnedByYou" => Ok(()),
                other => Err(other),
            }
        })
        .await
    }

    /// Stores an object and answers its entity tag.
    pub async fn put(&self, key: &str, body: impl Into<Bytes>) -> Result<String, S3Error> {
        let op = "put";
        check(op, key)?;
        let url = self.bucket.put_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.call(op, async {
            let answer = self.send(op, Method::PUT, url, body.into()).await?;
            if !answer.status().is_success() {
                return Err(self.refusal(op, answer).await);
            }
            // A bare "200 OK" can come from anything; an acknowledgement names what was stored.
            etag(op, answer.headers())
        })
        .await
    }

    /// Reads an object; `None` if the server says that there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, S3Error> {
        let op = "get";
        check(op, key)?;
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.call(op, async {
            let answer = self.send(op, Method::GET, url, Bytes::new()).await?;
            if answer.status() != StatusCode::OK {
                return match self.refusal(op, answer).await {
                    S3Error::Refused { code, .. } if code == "NoSuchKey" || code == "NoSuchBucket" => {
                        Ok(None)
                    }
                    other => Err(other),
                };
            }
            // Without a length, an answer cut short looks complete.
            let length = length(op, answer.headers())?;
            etag(op, answer.headers())?;
            let body = self.body(op, answer, self.max_object).await?;
            if body.len() as u64 != length {
                let why = format!("{} bytes instead of {length}", body.len());
                return Err(S3Error::Broken { op, why });
            }
            Ok(Some(body))
        })
        .await
    }

    /// Reads an object of any size and keeps none of it: its length and its SHA-256; `None` if there is none.
    pub async fn sum(&self, key: &str) -> Result<Option<(u64, [u8; 32])>, S3Error> {
        let op = "get";
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.call(op, async {
            let mut answer = self.send(op, Method::GET, url, Bytes::new()).await?;
            if answer.status() != StatusCode::OK {
                return match self.refusal(op, answer).await {
                    S3Error::Refused { code, .. } if code == "NoSuchKey" => Ok(None),
                    other => Err(other),
                };
            }
            let length = length(op, answer.headers())?;
            let (mut hash, mut read) = (Sha256::new(), 0u64);
            while let Some(piece) =
                answer.chunk().await.map_err(|e| S3Error::transport(op, self.limit, &e))?
            {
                read += piece.len() as u64;
                hash.update(&piece);
            }
            if read != length {
                return Err(S3Error::Broken { op, why: format!("{read} bytes instead of {length}") });
            }
            Ok(Some((length, hash.finalize().into())))
        })
        .await
    }

    /// Asks for an object without reading it; `None` if the server says that there is none.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, S3Error> {
        let op = "head";
        check(op, key)?;
        let url = self.bucket.head_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.call(op, async {
            let answer = self.send(op, Method::HEAD, url, Bytes::new()).await?;
            match answer.status() {
                StatusCode::OK => {
                    Ok(Some(Head { size: length(op, answer.headers())?, etag: etag(op, answer.headers())? }))
                }
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(self.refusal(op, answer).await),
            }
        })
        .await
    }

    /// Removes an object; one that is not there is fine.
    pub async fn delete(&self, key: &str) -> Result<(), S3Error> {
        let op = "delete";
        check(op, key)?;
        let url = self.bucket.delete_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.call(op, async {
            let answer = self.send(op, Method::DELETE, url, Bytes::new()).await?;
            match answer.status() {
                StatusCode::NO_CONTENT => Ok(()),
                status if status.is_success() => {
                    Err(S3Error::Protocol { op, why: format!("{status} for a removal") })
                }
                _ => Err(self.refusal(op, answer).await),
            }
        })
        .await
    }

    /// The objects whose keys begin with `prefix` and come after `after`: one page.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, S3Error> {
        let op = "list";
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        action.with_prefix(prefix);
        action.with_max_keys(PAGE);
        if let Some(after) = after {
            action.with_start_after(after);
        }
        let url = action.sign(SIGNED_FOR);
        self.call(op, async {
            let answer = self.send(op, Method::GET, url, Bytes::new()).await?;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(op, answer).await);
            }
            let body = self.body(op, answer, XML_LIMIT).await?;
            page(op, &body, prefix, after)
        })
        .await
    }

    /// The buckets of the server that this user may see.
    pub(super) async fn buckets(&self) -> Result<Vec<String>, S3Error> {
        let op = "list buckets";
        let url = self.address(SERVER, None)?;
        self.call(op, async {
            let answer = self.send(op, Method::GET, url, Bytes::new()).await?;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(op, answer).await);
            }
            let body = self.body(op, answer, XML_LIMIT).await?;
            bucket_names(&body).ok_or_else(|| S3Error::Protocol { op, why: "no list of buckets".to_owned() })
        })
        .await
    }

    /// What the server says of one setting of a bucket, such as `policy`; `None` if it has none, or none of that kind
    /// can be made here.
    pub(super) async fn setting(&self, bucket: &str, what: &'static str) -> Result<Option<Bytes>, S3Error> {
        let op = "get a bucket's setting";
        let url = self.address(bucket, Some(what))?;
        self.call(op, async {
            let answer = self.send(op, Method::GET, url, Bytes::new()).await?;
            if answer.status() == StatusCode::OK {
                return self.body(op, answer, XML_LIMIT).await.map(Some);
            }
            match self.refusal(op, answer).await {
                S3Error::Refused { code, .. } | S3Error::Server { code, .. } if lacks(&code) => Ok(None),
                other => Err(other),
            }
        })
        .await
    }

    /// The signed address of a bucket, or of a setting of it; of the server itself, if the name is [`SERVER`].
    fn address(&self, bucket: &str, what: Option<&'static str>) -> Result<Url, S3Error> {
        let mut endpoint = self.bucket.base_url().clone();
        endpoint.set_path("/");
        let region = self.bucket.region().to_owned();
        let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), region)
            .map_err(|e| S3Error::Config(format!("bucket {bucket:?}: {e}")))?;
        let mut action = bucket.get_object(Some(&self.credentials), "");
        if let Some(what) = what {
            action.query_mut().insert(what, "");
        }
        Ok(action.sign(SIGNED_FOR))
    }

    /// Every object whose key begins with `prefix`; an error if there are more than `most`.
    pub async fn list_all(&self, prefix: &str, most: usize) -> Result<Vec<Listed>, S3Error> {
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let page = self.list(prefix, all.last().map(|o| o.key.as_str())).await?;
            all.extend(page.objects);
            if all.len() > most {
                return Err(S3Error::TooLarge { op: "list", limit: most as u64 });
            }
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn call<T>(
        &self,
        op: &'static str,
        work: impl Future<Output = Result<T, S3Error>>,
    ) -> Result<T, S3Error> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(S3Error::Timeout { op, limit: self.limit }),
        }
    }

    async fn send(
        &self,
        op: &'static str,
        method: Method,
        url: Url,
        body: Bytes,
    ) -> Result<Response, S3Error> {
        let request = self.http.request(method, url).body(body);
        request.send().await.map_err(|e| S3Error::transport(op, self.limit, &e))
    }

    async fn body(&self, op: &'static str, mut answer: Response, limit: u64) -> Result<Bytes, S3Error> {
        let announced = answer.content_length().unwrap_or(0);
        if announced > limit {
            return Err(S3Error::TooLarge { op, limit });
        }
        // What a server announces is a claim; memory grows with what it sends.
        let mut body = BytesMut::with_capacity(announced.min(1 << 20) as usize);
        while let Some(chunk) = answer.chunk().await.map_err(|e| S3Error::transport(op, self.limit, &e))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(S3Error::TooLarge { op, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Turns an answer that is no success into an error: a refusal only if an S3 server said so.
    async fn refusal(&self, op: &'static str, answer: Response) -> S3Error {
        let status = answer.status();
        let head = op == "head";
        let code = match self.body(op, answer, 64 << 10).await {
            Ok(body) => error_code(&body).unwrap_or_default(),
            Err(error) => return error,
        };
        let spoke_s3 = !code.is_empty() || head;
        let status_code = status.as_u16();
        match status_code {
            // A server that gave up on a slow request may have begun it.
            400..=499 if spoke_s3 && status_code != 408 => S3Error::Refused { op, status: status_code, code },
            503 if code == "SlowDown" => S3Error::Refused { op, status: status_code, code },
            // MinIO's word for a full disk: an object is named only after all of it was written.
            507 if code == "XMinioStorageFull" => S3Error::Refused { op, status: status_code, code },
            500..=599 => S3Error::Server { op, status: status_code, code },
            _ => S3Error::Protocol { op, why: format!("status {status} with code {code:?}") },
        }
    }
}

fn check(op: &'static str, key: &str) -> Result<(), S3Error> {
    check_key(key).map_err(|why| S3Error::Key { op, key: key.to_owned(), why })
}
