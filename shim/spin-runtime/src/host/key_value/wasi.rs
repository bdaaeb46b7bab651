//! `wasi:keyvalue@0.2.0-draft2`: the same stores by another name.

use wasmtime::component::{Linker, Resource};

use super::super::{HostState, Spin};
use super::bindings::wasi::keyvalue::{atomics, batch, store};
use super::interface::Refused;
use super::{Failure, MAX_BYTES, Opened};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, Spin>(linker, |state| state)?;
    atomics::add_to_linker::<_, Spin>(linker, |state| state)?;
    batch::add_to_linker::<_, Spin>(linker, |state| state)
}

/// A value as it was, to be replaced if it still is.
pub struct Cas {
    bucket: Opened,
    key: String,
    seen: Option<Vec<u8>>,
}

impl Cas {
    /// Bytes of the value that was seen.
    fn size(&self) -> usize {
        self.seen.as_ref().map_or(0, Vec::len)
    }
}

impl HostState {
    /// Keeps a value for its swap.
    fn keep_cas(&mut self, cas: Cas) -> wasmtime::Result<Result<Resource<Cas>, Failure>> {
        let size = cas.size();
        if let Err(failure) = self.cas_bytes.add(size) {
            return Ok(Err(failure));
        }
        let kept = self.table.push(cas);
        if kept.is_err() {
            self.cas_bytes.remove(size);
        }
        Ok(Ok(kept?))
    }

    fn take_cas(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Cas> {
        let cas = self.table.delete(cas)?;
        self.cas_bytes.remove(cas.size());
        Ok(cas)
    }
}

impl From<Refused> for store::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AccessDenied => Self::AccessDenied,
            Refused::TooMany => Self::Other("too many stores are open".to_owned()),
        }
    }
}

impl From<Failure> for store::Error {
    fn from(Failure(reason): Failure) -> Self {
        Self::Other(reason)
    }
}

type Answer<T, E = store::Error> = wasmtime::Result<Result<T, E>>;

impl store::Host for HostState {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Opened>> {
        Ok(self.open_store(&identifier).map_err(Into::into))
    }
}

impl store::HostBucket for HostState {
    async fn get(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.opened(&bucket)?.0.get(key).await.map_err(Into::into))
    }

    async fn set(&mut self, bucket: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.opened(&bucket)?.0.set(key, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<Opened>, key: String) -> Answer<()> {
        Ok(self.opened(&bucket)?.0.delete(key).await.map_err(Into::into))
    }

    async fn exists(&mut self, bucket: Resource<Opened>, key: String) -> Answer<bool> {
        Ok(self.opened(&bucket)?.0.exists(key).await.map_err(Into::into))
    }

    /// All keys come at once: a cursor is never given out, so none can be right.
    async fn list_keys(&mut self, bucket: Resource<Opened>, cursor: Option<String>) -> Answer<store::KeyResponse> {
        if cursor.is_some() {
            return Ok(Err(store::Error::Other("there is no such cursor".to_owned())));
        }
        let keys = self.opened(&bucket)?.0.keys().await;
        Ok(keys.map(|keys| store::KeyResponse { keys, cursor: None }).map_err(Into::into))
    }

    async fn drop(&mut self, bucket: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for HostState {
    async fn increment(&mut self, bucket: Resource<Opened>, key: String, delta: i64) -> Answer<i64> {
        Ok(self.opened(&bucket)?.0.increment(key, delta).await.map_err(Into::into))
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Answer<(), atomics::CasError> {
        let Cas { bucket, key, seen } = self.take_cas(cas)?;
        let failed = |failure: Failure| atomics::CasError::StoreError(failure.into());
        match bucket.0.swap(key.clone(), seen, value).await {
            Ok(true) => Ok(Ok(())),
            Err(failure) => Ok(Err(failed(failure))),
            Ok(false) => match bucket.0.get(key.clone()).await {
                Ok(seen) => Ok(Err(match self.keep_cas(Cas { bucket, key, seen })? {
                    Ok(cas) => atomics::CasError::CasFailed(cas),
                    Err(failure) => failed(failure),
                })),
                Err(failure) => Ok(Err(failed(failure))),
            },
        }
    }
}

impl atomics::HostCas for HostState {
    async fn new(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Resource<Cas>> {
        let bucket = self.opened(&bucket)?;
        match bucket.0.get(key.clone()).await {
            Ok(seen) => Ok(self.keep_cas(Cas { bucket, key, seen })?.map_err(Into::into)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        Ok(Ok(self.table.get(&cas)?.seen.clone()))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.take_cas(cas)?;
        Ok(())
    }
}

impl batch::Host for HostState {
    async fn get_many(&mut self, bucket: Resource<Opened>, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let bucket = self.opened(&bucket)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for key in keys {
            match bucket.0.get(key.clone()).await {
                Ok(value) => {
                    bytes += value.as_ref().map_or(0, Vec::len);
                    found.push((key, value));
                }
                Err(failure) => return Ok(Err(failure.into())),
            }
            if bytes > MAX_BYTES {
                return Ok(Err(Failure::too_big().into()));
            }
        }
        Ok(Ok(found))
    }

    async fn set_many(&mut self, bucket: Resource<Opened>, key_values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let bucket = self.opened(&bucket)?;
        for (key, value) in key_values {
            if let Err(failure) = bucket.0.set(key, value).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Ok(()))
    }

    async fn delete_many(&mut self, bucket: Resource<Opened>, keys: Vec<String>) -> Answer<()> {
        let bucket = self.opened(&bucket)?;
        for key in keys {
            if let Err(failure) = bucket.0.delete(key).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Ok(()))
    }
}
