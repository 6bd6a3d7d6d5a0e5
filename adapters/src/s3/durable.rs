//! The store behind the object node: `s3s-fs` reads, and a store of our own writes.
//!
//! `s3s-fs` writes an object to a temporary file and renames it, which survives the death of the process (the page
//! cache is the kernel's) but not the loss of power: it never calls `fsync`; and it keeps no account of what was
//! written. Here an object's bytes are synced, then its change is logged (see `store`), then it is moved into place
//! and its folder synced, and only then is the write acknowledged; a removal likewise. There is no sidecar: the ETag
//! is computed from the bytes, which are the truth; an object has no metadata of its own.
//!
//! Further: writing into a bucket that does not exist is refused (s3s-fs would create it, hiding a wiped node); an
//! object that cannot be *opened* is a server error and not "no such key"; keys cannot climb out of their bucket;
//! listed keys are encoded when the caller asked for it; conditions and checksums that are not checked are refused.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput, ETag, EncodingType,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListBucketsInput, ListBucketsOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use super::change::{Name, State};
use super::replicated::Rights;
use super::staging::{Staged, Writing};
use super::store::{Change, Store, StoreError};

/// Bytes of a refused body that are read.
const DRAINED: usize = 64 << 20;

/// `s3s-fs`, synced and strict.
pub(super) struct Durable {
    inner: FileSystem,
    root: PathBuf,
    store: Store,
    rights: Rights,
}

impl Durable {
    /// Serves a store that was opened over this directory.
    pub(super) fn new(root: &Path, store: Store, rights: Rights) -> Result<Self, String> {
        let root = root.canonicalize().map_err(|e| e.to_string())?;
        let inner = FileSystem::new(&root).map_err(|e| format!("{e:?}"))?;
        Ok(Self { inner, root, store, rights })
    }

    fn path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        check_key(key).map_err(|why| s3_error!(InvalidArgument, "{why}"))?;
        Ok(self.root.join(bucket).join(key))
    }

    /// The file of an object that is there, or the precise reason why there is none.
    async fn present(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let path = self.path(bucket, key)?;
        match tokio::fs::symlink_metadata(&path).await {
            Ok(meta) if meta.is_file() => Ok(path),
            Ok(_) => Err(s3_error!(NoSuchKey)),
            Err(e) if absent(&e) => {
                self.bucket_exists(bucket).await?;
                Err(s3_error!(NoSuchKey))
            }
            Err(e) => Err(s3_error!(e, InternalError)),
        }
    }

    async fn bucket_exists(&self, bucket: &str) -> S3Result<()> {
        match tokio::fs::symlink_metadata(self.root.join(bucket)).await {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(s3_error!(NoSuchBucket)),
            Err(e) if absent(&e) => Err(s3_error!(NoSuchBucket)),
            Err(e) => Err(s3_error!(e, InternalError)),
        }
    }

    /// Makes a change of this store's own.
    async fn change(store: &Store, name: Name, state: State, staged: Option<Staged>) -> S3Result<u64> {
        let done = store.change(Change { name, state, staged, stamp: None }).await;
        done.map_err(|e| match e {
            StoreError::Refused(why) => s3_error!(InvalidRequest, "{why}"),
            StoreError::Failed(_) => s3_error!(e, InternalError),
        })
    }

    /// Makes a user's change: where the node's role allows it, and answered when its mode does.
    async fn write(&self, name: Name, state: State, staged: Option<Staged>) -> S3Result<()> {
        let (store, rights) = (self.store.clone(), self.rights.clone());
        let permit = rights.permit()?;
        // A task of its own: a user who hangs up does not end the permit before the commit.
        let written = tokio::spawn(async move {
            let lsn = Self::change(&store, name.clone(), state, staged).await?;
            rights.confirmed(permit, &store, name, lsn).await
        });
        written.await.map_err(|e| s3_error!(e, InternalError))?
    }

    /// Whether a user's write would be refused.
    async fn check_write(&self, input: &PutObjectInput) -> S3Result<()> {
        drop(self.rights.permit()?);
        self.path(&input.bucket, &input.key)?;
        self.bucket_exists(&input.bucket).await?;
        check_put(input)
    }

    /// Writes a body beside the data and syncs it; answers its ETag too.
    async fn stage(&self, mut body: StreamingBlob) -> S3Result<(Staged, String)> {
        let staging = self.store.staging().clone();
        let mut file = blocking(move || staging.begin()).await?;
        let mut md5 = Md5::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| s3_error!(IncompleteBody, "{e}"))?;
            md5.update(&chunk);
            file = blocking(move || file.write(&chunk).map(|()| file)).await?;
        }
        let staged = blocking(move || Writing::finish(file)).await?;
        let tag = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((staged, tag))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| s3_error!(e, InternalError))?;
    done.map_err(|e| s3_error!(e, InternalError))
}

/// Reads a body that nobody wants, up to a limit.
async fn drain(mut body: StreamingBlob) {
    let mut left = DRAINED;
    while let Some(Ok(chunk)) = body.next().await
        && chunk.len() < left
    {
        left -= chunk.len();
    }
}

/// What would be promised by silence and is not done.
fn check_put(input: &PutObjectInput) -> S3Result<()> {
    let sums = [
        &input.content_md5,
        &input.checksum_crc32,
        &input.checksum_crc32c,
        &input.checksum_crc64nvme,
        &input.checksum_sha1,
        &input.checksum_sha256,
    ];
    if input.if_match.is_some() || input.if_none_match.is_some() {
        return Err(s3_error!(NotImplemented, "conditional writes"));
    }
    if input.checksum_algorithm.is_some() || sums.iter().any(|sum| sum.is_some()) {
        return Err(s3_error!(NotImplemented, "checksums of single objects"));
    }
    Ok(())
}

/// Whether an error says that there is no such file.
pub(super) fn absent(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Keys that mean the same thing to a URL, a file system and S3.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > 1024 {
        return Err("a key has 1 to 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return Err("a key has no control characters");
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..") || part.len() > 255) {
        return Err("the parts of a key have 1 to 255 bytes and are neither `.` nor `..`");
    }
    Ok(())
}

/// Percent-encoding of everything but unreserved characters and `/`.
fn encode(key: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(byte as char)
            }
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    out
}

#[async_trait::async_trait]
impl S3 for Durable {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        match self.bucket_exists(&req.input.bucket).await {
            Ok(()) => return Err(s3_error!(BucketAlreadyOwnedByYou)),
            Err(e) if *e.code() == S3ErrorCode::NoSuchBucket => {}
            Err(e) => return Err(e),
        }
        // An empty bucket harms nobody, whatever the node's role, and waits for nobody.
        Self::change(&self.store, Name::new(&req.input.bucket, ""), State::Bucket, None).await?;
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.inner.head_bucket(req).await
    }

    async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.inner.list_buckets(req).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let checked = self.check_write(&input).await;
        let Some(body) = input.body else { return Err(s3_error!(IncompleteBody)) };
        if let Err(refusal) = checked {
            // A connection closed over unread bytes is reset, and the refusal never arrives.
            drain(body).await;
            return Err(refusal);
        }
        let (staged, tag) = self.stage(body).await?;
        let state = staged.state;
        self.write(Name::new(&input.bucket, &input.key), state, Some(staged)).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(tag)), ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let path = self.present(&req.input.bucket, &req.input.key).await?;
        // s3s-fs answers "no such key" for any file it cannot open; a reader would count the object as lost.
        tokio::fs::File::open(path).await.map_err(|e| s3_error!(e, InternalError))?;
        self.inner.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.present(&req.input.bucket, &req.input.key).await?;
        self.inner.head_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.bucket_exists(&req.input.bucket).await?;
        self.path(&req.input.bucket, &req.input.key)?;
        self.write(Name::new(&req.input.bucket, &req.input.key), State::Deleted, None).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let mut answer = self.inner.list_objects_v2(req).await?;
        let out = &mut answer.output;
        // s3s-fs echoes `encoding-type=url` without encoding, which clients would decode once too often.
        if out.encoding_type.as_ref().is_some_and(|e| e.as_str() == EncodingType::URL) {
            for object in out.contents.iter_mut().flatten() {
                object.key = object.key.as_deref().map(encode);
            }
            for group in out.common_prefixes.iter_mut().flatten() {
                group.prefix = group.prefix.as_deref().map(encode);
            }
            for field in [&mut out.prefix, &mut out.delimiter, &mut out.start_after] {
                *field = field.as_deref().map(encode);
            }
        }
        Ok(answer)
    }
}
