//! What the host functions work on: shared by the app, shared by a component's instances, and of one instance.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::network::Egress;
use super::{key_value, outbound_http, redis, variables, wasi};
use crate::InternalHandler;
use crate::instance::StoreError;
use crate::limits::Limits;
use crate::output::Stdio;
use crate::ticker::Ticking;
use crate::volumes::OpenVolume;

/// Resources one instance may hold: files, bodies, connections.
const MAX_RESOURCES: usize = 10_000;

/// What all components of the app share.
pub(crate) struct Services {
    pub(crate) stdio: Stdio,
    pub(crate) internal: OnceLock<Arc<dyn InternalHandler>>,
}

/// What all instances of a component share: what the app lets it have.
pub(crate) struct Guest {
    pub(crate) id: String,
    pub(crate) env: Vec<(String, String)>,
    /// The host's directory that is the guest's `/`.
    pub(crate) files: Option<PathBuf>,
    /// What it sees of the pod's volumes.
    pub(crate) volumes: Vec<OpenVolume>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) http: outbound_http::Client,
    pub(crate) redis: redis::Servers,
    pub(crate) variables: variables::Values,
    pub(crate) key_value: key_value::Stores,
    /// Schemes it may connect to, and `sqlite` and `llm` where it is given a database or a model: what it really means to use.
    pub(crate) granted: BTreeSet<String>,
    pub(crate) services: Arc<Services>,
}

/// One instance's state. Small, and made for each instance: keep it so.
pub(crate) struct HostState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: outbound_http::Hooks,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    pub(crate) guest: Arc<Guest>,
    pub(super) cas_bytes: key_value::CasBytes,
    _ticking: Ticking,
}

impl HostState {
    pub(crate) fn new(guest: &Arc<Guest>, limits: Limits, ticking: Ticking) -> Result<Self, StoreError> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Ok(Self {
            wasi: wasi::context(guest).map_err(StoreError::Files)?,
            http: WasiHttpCtx::new(),
            outbound: outbound_http::Hooks::new(guest.clone()),
            table,
            limits,
            guest: guest.clone(),
            cas_bytes: key_value::CasBytes::default(),
            _ticking: ticking,
        })
    }
}

impl HostState {
    /// Sets the depth of the requests that the instance works on from now on.
    pub(crate) fn set_depth(&mut self, depth: u32) {
        self.outbound.depth = depth;
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The host functions of Spin's own interfaces work on the whole state.
pub(crate) struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut HostState;
}
