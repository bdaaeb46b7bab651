//! One image at a registry: pushed, and read.

use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::credentials::Login;
use super::identity::{Access, ExchangeError};
use super::{Progress, credentials};
use crate::pack::{Blob, IMAGE_INDEX, IMAGE_MANIFEST, Image};
use crate::{Blobs, Digest, OciError};

/// Blobs on their way at once: enough to hide a registry's round trips, few enough to hold in memory.
const UPLOADS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Of one request, of which none carries more than a few MiB.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Which registries are spoken to without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlainHttp {
    /// Those on this machine.
    Loopback,
    /// This one, wherever it is.
    Always,
}

/// An image's place at a registry. Calls block; they may come from several threads, none of them a runtime's.
pub struct Registry {
    runtime: Runtime,
    client: Client,
    reference: Reference,
    /// Why we come without credentials, if there is a reason.
    note: Option<String>,
    login: Option<Login>,
    /// Whether the registry is spoken to without TLS.
    is_plain: bool,
    /// How requests are authorized, once that is known.
    auth: OnceCell<RegistryAuth>,
}

impl Registry {
    /// Finds the credentials; nothing is sent yet.
    pub fn new(reference: &str, plain_http: PlainHttp) -> Result<Self, OciError> {
        let reference = parse(reference)?;
        let host = reference.resolve_registry().to_owned();
        let is_plain = plain_http == PlainHttp::Always || is_loopback(&host);
        // Fails only if another was installed before, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Not `Client::new`, which panics where a machine has no certificates.
        let client = Client::try_from(ClientConfig {
            protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("spin-oci/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        })
        .map_err(|error| OciError::Tls { reason: chain(&error) })?;
        let found = credentials::find(&host)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| OciError::file("/proc/self", error))?;
        let auth = OnceCell::new();
        Ok(Self { runtime, client, reference, note: found.note, login: found.login, is_plain, auth })
    }

    /// The whole name: registry, repository, tag or digest.
    pub fn name(&self) -> String {
        self.reference.whole()
    }

    /// Pushes the blobs that are not there yet, then the manifests, the one with the tag last. Returns the image's digest.
    pub fn push(&self, image: &Image, progress: &dyn Progress) -> Result<Digest, OciError> {
        self.runtime.block_on(async {
            let auth = self.auth(RegistryOperation::Push).await?;
            let login = self.client.auth(&self.reference, auth, RegistryOperation::Push);
            login.await.map(drop).map_err(|error| self.error("log in", error))
        })?;
        progress.start(image.blobs.len(), image.blobs.iter().map(|blob| blob.size).sum());
        self.runtime.block_on(self.push_blobs(&image.blobs, progress))?;
        progress.finish();
        for manifest in &image.manifests {
            self.push_manifest(manifest, manifest.digest == image.top().digest)?;
        }
        Ok(image.top().digest.clone())
    }

    /// How to authorize requests. The first call exchanges an identity token for one of this operation.
    async fn auth(&self, operation: RegistryOperation) -> Result<&RegistryAuth, OciError> {
        let authorize = async || match &self.login {
            None => Ok(RegistryAuth::Anonymous),
            Some(Login::Password(user, password)) => Ok(RegistryAuth::Basic(user.clone(), password.clone())),
            Some(Login::Identity(token)) => self.exchange(token, operation).await,
        };
        self.auth.get_or_try_init(authorize).await
    }

    async fn exchange(&self, identity_token: &str, operation: RegistryOperation) -> Result<RegistryAuth, OciError> {
        let actions = match operation {
            RegistryOperation::Push => "pull,push",
            RegistryOperation::Pull => "pull",
        };
        let (scheme, host) = (if self.is_plain { "http" } else { "https" }, self.reference.resolve_registry());
        let scope = format!("repository:{}:{actions}", self.reference.repository());
        let access = Access { registry: format!("{scheme}://{host}/v2/"), scope, identity_token };
        let token = access.token().await.map_err(|error| self.refused(error))?;
        Ok(token.map_or(RegistryAuth::Anonymous, RegistryAuth::Bearer))
    }

    fn refused(&self, error: ExchangeError) -> OciError {
        let (registry, operation) = (self.reference.resolve_registry().to_owned(), "log in".to_owned());
        let reason = error.to_string();
        match error {
            ExchangeError::Request(_) | ExchangeError::Answer(_) => OciError::Registry { registry, operation, reason },
            ExchangeError::NotSupported | ExchangeError::Insecure(_) | ExchangeError::Refused { .. } => {
                OciError::Unauthorized { registry, operation, reason }
            }
        }
    }

    async fn push_blobs(&self, blobs: &[Blob], progress: &dyn Progress) -> Result<(), OciError> {
        let pushes = stream::iter(blobs).map(|blob| async move {
            let found = self.push_blob(blob).await?;
            progress.blob(&blob.digest, blob.media_type, blob.size, found);
            Ok(())
        });
        pushes.buffer_unordered(UPLOADS).try_collect().await
    }

    /// Whether it was there already.
    async fn push_blob(&self, blob: &Blob) -> Result<bool, OciError> {
        // A registry that does not tell whether it has a blob is simply sent it; what is wrong shows then.
        if self.client.blob_exists(&self.reference, blob.digest.as_str()).await.unwrap_or(false) {
            return Ok(true);
        }
        let pushed = self.client.push_blob(&self.reference, blob.read()?, blob.digest.as_str()).await;
        pushed.map(|_| false).map_err(|error| self.error(&format!("push {}", blob.digest), error))
    }

    fn push_manifest(&self, manifest: &Blob, tagged: bool) -> Result<(), OciError> {
        let reference = match tagged {
            true => self.reference.clone(),
            false => self.reference.clone_with_digest(manifest.digest.to_string()),
        };
        let media_type = manifest.media_type.parse().expect("our media types are header values");
        let pushed = self.runtime.block_on(self.client.push_manifest_raw(&reference, manifest.read()?, media_type));
        pushed.map(|_| ()).map_err(|error| self.error(&format!("push {reference}"), error))
    }

    /// Reads a manifest or an index: the one the name leads to, or one of this digest in the same repository.
    pub fn manifest(&self, digest: Option<&str>) -> Result<Vec<u8>, OciError> {
        let reference =
            digest.map_or_else(|| self.reference.clone(), |digest| self.reference.clone_with_digest(digest.to_owned()));
        let accepted = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];
        self.runtime.block_on(async {
            let auth = self.auth(RegistryOperation::Pull).await?;
            let pulled = self.client.pull_manifest_raw(&reference, auth, &accepted).await;
            pulled.map(|(bytes, _)| bytes.to_vec()).map_err(|error| self.error(&format!("read {reference}"), error))
        })
    }

    /// In words, with the credentials' part of it.
    fn error(&self, operation: &str, error: OciDistributionError) -> OciError {
        let (registry, operation) = (self.reference.resolve_registry().to_owned(), operation.to_owned());
        let note = self.note.clone().map(|note| format!(" ({note})")).unwrap_or_default();
        let refused = match &error {
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
            OciDistributionError::ServerError { code, .. } => matches!(code, 401 | 403),
            OciDistributionError::RequestError(error) => {
                error.status().is_some_and(|status| matches!(status.as_u16(), 401 | 403))
            }
            _ => false,
        };
        let anonymous = self.login.is_none();
        match refused {
            true if anonymous => OciError::Unauthorized {
                registry,
                operation,
                reason: format!("it wants credentials, and docker's configuration has none; `docker login` writes them{note}"),
            },
            true => OciError::Unauthorized { registry, operation, reason: format!("{}{note}", reason(&error)) },
            false => OciError::Registry { registry, operation, reason: reason(&error) },
        }
    }
}

impl Blobs for Registry {
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        let file = tempfile::tempfile()?;
        let writer = tokio::fs::File::from_std(file.try_clone()?);
        let pulled = self.runtime.block_on(async {
            let auth = self.auth(RegistryOperation::Pull).await.map_err(|error| error.to_string())?;
            self.client.store_auth_if_needed(self.reference.resolve_registry(), auth).await;
            self.client.pull_blob(&self.reference, digest, writer).await.map_err(|error| reason(&error))
        });
        pulled.map_err(io::Error::other)?;
        let mut file = file;
        io::Seek::rewind(&mut file)?;
        Ok(Box::new(file))
    }
}

/// As docker names images: without a registry it is Docker Hub's, without a tag `latest`.
fn parse(text: &str) -> Result<Reference, OciError> {
    text.parse().map_err(|error: oci_client::ParseError| OciError::Reference { text: text.to_owned(), reason: error.to_string() })
}

/// Whether a registry's host, with or without a port, is this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the registry says, or what kept us from hearing it.
fn reason(error: &OciDistributionError) -> String {
    match error {
        OciDistributionError::RegistryError { envelope, .. } if !envelope.errors.is_empty() => {
            let messages: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
            messages.join(", ")
        }
        OciDistributionError::ServerError { code, message, .. } => format!("status {code} {message}").trim().to_owned(),
        OciDistributionError::ImageManifestNotFoundError(_) => "there is no such image".to_owned(),
        other => chain(other),
    }
}

/// An error with its causes, which is where the HTTP client says what happened.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The whole name of an image, as containerd keeps it.
pub fn full_name(text: &str) -> Result<String, OciError> {
    parse(text).map(|reference| reference.whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "registry.localhost:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["ghcr.io", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com", "[::2]:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn names_are_dockers() {
        assert_eq!(full_name("app").unwrap(), "docker.io/library/app:latest");
        assert_eq!(full_name("localhost:5000/a/b:1").unwrap(), "localhost:5000/a/b:1");
        assert!(full_name("A B").is_err());
    }
}
