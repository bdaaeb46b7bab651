//! containerd's content store: the image of a container, and its blobs.
//!
//! Small ones, manifests and locked apps, are noted on the node: containerd takes longer to hand one over than all else takes that is done with it.

use std::future::Future;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::{GetContainerRequest, GetImageRequest, ReadContentRequest, ReadContentResponse};
use containerd_client::tonic::metadata::MetadataValue;
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status, Streaming};
use spin_oci::{Blobs, Digest};
use tokio::runtime::Runtime;

use super::notes::Notes;
use crate::bundle::TaskRequest;

/// What containerd may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Manifests and indexes; registries allow as much.
const LONGEST_MANIFEST: u64 = 4 << 20;

/// Blobs of fewer bytes are noted.
const SMALL: u64 = 64 << 10;

/// The store, read through containerd.
#[derive(Clone)]
pub struct ContentStore(Arc<Connection>);

struct Connection {
    runtime: Mutex<Runtime>,
    channel: Channel,
    namespace: String,
    small: Notes,
}

impl ContentStore {
    /// Connects to the containerd that asked for this task; small blobs are noted, and found, in `small`.
    pub fn connect(request: &TaskRequest, small: Notes) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = request.containerd.trim_start_matches("unix://");
        let connected = runtime.block_on(async { tokio::time::timeout(ANSWER, containerd_client::connect(address)).await });
        let channel = connected.context("containerd does not answer")?.with_context(|| format!("connecting to {address}"))?;
        Ok(Self(Arc::new(Connection { runtime: Mutex::new(runtime), channel, namespace: request.namespace.clone(), small })))
    }

    /// The manifest of the container's image if that is a Spin artifact.
    pub fn artifact_of(&self, container: &str) -> Result<Option<Vec<u8>>> {
        let request = GetContainerRequest { id: container.to_owned() };
        let found =
            self.ask(async |connection| ContainersClient::new(connection.channel.clone()).get(connection.about(request)).await);
        let image = found.context("asking for the container")?.container.unwrap_or_default().image;
        if image.is_empty() {
            return Ok(None);
        }
        let request = GetImageRequest { name: image.clone() };
        let found =
            self.ask(async |connection| ImagesClient::new(connection.channel.clone()).get(connection.about(request)).await);
        let target = found.with_context(|| format!("asking for image {image:?}"))?.image.unwrap_or_default().target;
        let digest = target.context("the image has no target")?.digest;
        self.artifact_at(&digest).with_context(|| format!("reading image {image:?}"))
    }

    /// The manifest under this digest, or the first fitting one that the index under it names.
    fn artifact_at(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let Some(text) = self.read_manifest(digest)? else { bail!("{digest} is not in the content store") };
        if spin_oci::is_artifact(&text) {
            return Ok(Some(text));
        }
        for digest in spin_oci::index_manifests(&text) {
            // Of other platforms, the store has the digest alone.
            match self.read_manifest(digest.as_str())? {
                Some(text) if spin_oci::is_artifact(&text) => return Ok(Some(text)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn read_manifest(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let read = self.open(digest).and_then(|blob| blob.take(LONGEST_MANIFEST).read_to_end(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {digest}")),
        }
    }

    fn ask<T, F>(&self, call: impl FnOnce(Arc<Connection>) -> F) -> Result<T>
    where
        F: Future<Output = Result<containerd_client::tonic::Response<T>, Status>>,
    {
        let call = call(self.0.clone());
        let answer = self.0.block_on(call);
        Ok(answer?.into_inner())
    }
}

impl Connection {
    fn block_on<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = async { tokio::time::timeout(ANSWER, call).await };
        runtime.block_on(timeout).unwrap_or_else(|_| Err(Status::deadline_exceeded("containerd does not answer")))
    }

    /// What a crash left of a note has another digest.
    fn noted(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.small.read(digest, SMALL).filter(|bytes| Digest::of(bytes) == *digest)
    }

    fn about<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(namespace) = MetadataValue::try_from(self.namespace.as_str()) {
            request.metadata_mut().insert("containerd-namespace", namespace);
        }
        request
    }
}

impl Blobs for ContentStore {
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        // Of a digest of another kind nothing is noted.
        let about = Digest::parse(digest).ok();
        if let Some(bytes) = about.as_ref().and_then(|about| self.0.noted(about)) {
            return Ok(Box::new(Cursor::new(bytes)));
        }
        let mut blob = self.stream(digest)?;
        let mut start = Vec::new();
        blob.by_ref().take(SMALL).read_to_end(&mut start)?;
        if let Some(about) = about
            && (start.len() as u64) < SMALL
            && Digest::of(&start) == about
        {
            let _asked_for_again_next_time = self.0.small.write(&about, &start);
        }
        Ok(Box::new(Cursor::new(start).chain(blob)))
    }
}

impl ContentStore {
    fn stream(&self, digest: &str) -> io::Result<Blob> {
        let request = self.0.about(ReadContentRequest { digest: digest.to_owned(), ..Default::default() });
        let mut client = ContentClient::new(self.0.channel.clone());
        let opened = self.0.block_on(client.read(request)).map_err(to_io)?;
        let mut blob = Blob { connection: self.0.clone(), chunks: opened.into_inner(), chunk: Vec::new(), at: 0 };
        // containerd says with the first chunk only whether the blob exists.
        blob.advance()?;
        Ok(blob)
    }
}

/// A blob, read as it arrives.
struct Blob {
    connection: Arc<Connection>,
    chunks: Streaming<ReadContentResponse>,
    chunk: Vec<u8>,
    at: usize,
}

impl Blob {
    fn advance(&mut self) -> io::Result<()> {
        let next = self.connection.block_on(self.chunks.message()).map_err(to_io)?;
        self.chunk = next.map(|response| response.data).unwrap_or_default();
        self.at = 0;
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.advance()?;
        }
        let rest = &self.chunk[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

fn to_io(status: Status) -> io::Error {
    let kind = if status.code() == Code::NotFound { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, status.message().to_owned())
}
