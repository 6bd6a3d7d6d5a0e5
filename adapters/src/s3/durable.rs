//! The store behind the object node: `s3s-fs` with the gaps closed that a drill would fall into.
//!
//! `s3s-fs` writes an object to a temporary file and renames it, which survives the death of the process (the page
//! cache is the kernel's) but not the loss of power: it never calls `fsync`. Here an object's bytes and every
//! directory between it and the root are synced before the write is acknowledged, and a removal likewise. What is
//! *not* synced is the sidecar that holds an object's ETag: should it be missing the ETag is computed from the
//! bytes; killed between rename and sidecar, a node serves the new bytes with the old ETag. The bytes are the truth.
//!
//! Further: writing into a bucket that does not exist is refused (s3s-fs would create it, hiding a wiped node); an
//! object that cannot be *opened* is a server error and not "no such key"; keys cannot climb out of their bucket;
//! listed keys are encoded when the caller asked for it.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use s3s::dto::{
    CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput, EncodingType,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListBucketsInput, ListBucketsOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput,
    PutObjectOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

/// `s3s-fs`, synced and strict.
pub(super) struct Durable {
    inner: FileSystem,
    root: PathBuf,
}

impl Durable {
    /// Opens the store over an existing directory.
    pub(super) fn open(root: &Path) -> Result<Self, s3s_fs::Error> {
        let root = root.canonicalize()?;
        Ok(Self { inner: FileSystem::new(&root)?, root })
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

    async fn sync(&self, path: PathBuf) -> S3Result<()> {
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || sync_up(&path, &root))
            .await
            .map_err(|e| s3_error!(e, InternalError))?
            .map_err(|e| s3_error!(e, InternalError))
    }
}

/// Syncs a file (if it still exists) and every directory above it up to and including `root`.
fn sync_up(path: &Path, root: &Path) -> Result<(), Error> {
    for step in path.ancestors() {
        match std::fs::File::open(step) {
            Ok(file) => file.sync_all()?,
            // Removed, by this request or by one that overtook it.
            Err(e) if absent(&e) => {}
            Err(e) => return Err(e),
        }
        if step == root {
            break;
        }
    }
    Ok(())
}

fn absent(e: &Error) -> bool {
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
        let path = self.root.join(&req.input.bucket);
        match tokio::fs::create_dir(&path).await {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(s3_error!(BucketAlreadyOwnedByYou)),
            Err(e) => return Err(s3_error!(e, InternalError)),
        }
        self.sync(path).await?;
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
        let path = self.path(&req.input.bucket, &req.input.key)?;
        self.bucket_exists(&req.input.bucket).await?;
        let answer = self.inner.put_object(req).await?;
        self.sync(path).await?;
        Ok(answer)
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
        let path = self.path(&req.input.bucket, &req.input.key)?;
        match tokio::fs::symlink_metadata(&path).await {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Ok(S3Response::new(DeleteObjectOutput::default())),
            Err(e) if absent(&e) => return Ok(S3Response::new(DeleteObjectOutput::default())),
            Err(e) => return Err(s3_error!(e, InternalError)),
        }
        let answer = self.inner.delete_object(req).await?;
        self.sync(path).await?;
        Ok(answer)
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
