//! `fermyon:spin/key-value@2.0.0` and `spin:key-value/key-value@3.0.0`: the same functions, synchronous and asynchronous.

use wasmtime::component::{Accessor, FutureReader, Linker, Resource, StreamReader};

use super::super::{HostState, Spin};
use super::bindings::fermyon::spin2_0_0::key_value as v2;
use super::bindings::spin::key_value::key_value as v3;
use super::{Failure, Opened};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v2::add_to_linker::<_, Spin>(linker, |state| state)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v3::add_to_linker::<_, Spin>(linker, |state| state)
}

/// Why a store can't be opened.
pub(super) enum Refused {
    /// The component does not list it, whether it exists or not.
    AccessDenied,
    TooMany,
}

impl HostState {
    pub(super) fn open_store(&mut self, label: &str) -> Result<Resource<Opened>, Refused> {
        let store = self.guest.key_value.get(label).ok_or(Refused::AccessDenied)?;
        let opened = Opened(store.clone());
        self.table.push(opened).map_err(|_| Refused::TooMany)
    }

    pub(super) fn opened(&self, store: &Resource<Opened>) -> wasmtime::Result<Opened> {
        Ok(self.table.get(store)?.clone())
    }
}

impl From<Refused> for v2::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AccessDenied => Self::AccessDenied,
            Refused::TooMany => Self::StoreTableFull,
        }
    }
}

impl From<Failure> for v2::Error {
    fn from(Failure(reason): Failure) -> Self {
        Self::Other(reason)
    }
}

impl From<Refused> for v3::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AccessDenied => Self::AccessDenied,
            Refused::TooMany => Self::StoreTableFull,
        }
    }
}

impl From<Failure> for v3::Error {
    fn from(Failure(reason): Failure) -> Self {
        Self::Other(reason)
    }
}

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

impl v2::Host for HostState {}

impl v2::HostStore for HostState {
    async fn open(&mut self, label: String) -> Answer<Resource<Opened>, v2::Error> {
        Ok(self.open_store(&label).map_err(Into::into))
    }

    async fn get(&mut self, store: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>, v2::Error> {
        Ok(self.opened(&store)?.0.get(key).await.map_err(Into::into))
    }

    async fn set(&mut self, store: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<(), v2::Error> {
        Ok(self.opened(&store)?.0.set(key, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, store: Resource<Opened>, key: String) -> Answer<(), v2::Error> {
        Ok(self.opened(&store)?.0.delete(key).await.map_err(Into::into))
    }

    async fn exists(&mut self, store: Resource<Opened>, key: String) -> Answer<bool, v2::Error> {
        Ok(self.opened(&store)?.0.exists(key).await.map_err(Into::into))
    }

    async fn get_keys(&mut self, store: Resource<Opened>) -> Answer<Vec<String>, v2::Error> {
        Ok(self.opened(&store)?.0.keys().await.map_err(Into::into))
    }

    async fn drop(&mut self, store: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl v3::Host for HostState {}

impl v3::HostStore for HostState {
    async fn drop(&mut self, store: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

type State = Accessor<HostState, Spin>;

fn opened(state: &State, store: &Resource<Opened>) -> wasmtime::Result<Opened> {
    state.with(|mut access| access.get().opened(store))
}

impl v3::HostStoreWithStore<HostState> for Spin {
    async fn open(state: &State, label: String) -> Answer<Resource<Opened>, v3::Error> {
        Ok(state.with(|mut access| access.get().open_store(&label)).map_err(Into::into))
    }

    async fn get(state: &State, store: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>, v3::Error> {
        Ok(opened(state, &store)?.0.get(key).await.map_err(Into::into))
    }

    async fn set(state: &State, store: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<(), v3::Error> {
        Ok(opened(state, &store)?.0.set(key, value).await.map_err(Into::into))
    }

    async fn delete(state: &State, store: Resource<Opened>, key: String) -> Answer<(), v3::Error> {
        Ok(opened(state, &store)?.0.delete(key).await.map_err(Into::into))
    }

    async fn exists(state: &State, store: Resource<Opened>, key: String) -> Answer<bool, v3::Error> {
        Ok(opened(state, &store)?.0.exists(key).await.map_err(Into::into))
    }

    async fn get_keys(
        state: &State,
        store: Resource<Opened>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), v3::Error>>)> {
        let (keys, end) = match opened(state, &store)?.0.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(failure) => (Vec::new(), Err(v3::Error::from(failure))),
        };
        state.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async move { wasmtime::error::Ok(end) })?))
        })
    }
}
