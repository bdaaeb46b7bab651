//! A client of containerd's CRI whose calls block.

use std::path::Path;

use k8s_cri::v1::ImageSpec;
use k8s_cri::v1::ImageStatusRequest;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::wait::patience;

/// Seconds that a call may take: the kubelet's own limit.
const CALL_TIMEOUT_SECONDS: u64 = 120;

/// A connection to the socket that containerd serves CRI on.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    channel: Channel,
}

impl Client {
    /// Connects; panics where nobody listens.
    pub fn connect(socket: &Path) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).expect("a socket's path is an address");
        let endpoint = endpoint.timeout(patience(CALL_TIMEOUT_SECONDS));
        let channel = runtime.block_on(endpoint.connect()).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        Self { runtime, channel }
    }

    /// Makes one call of the runtime service: `client.call(async |mut cri| cri.version(request).await)`.
    pub fn call<T>(
        &self,
        call: impl AsyncFnOnce(RuntimeServiceClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        self.runtime.block_on(call(RuntimeServiceClient::new(self.channel.clone()))).map(Response::into_inner)
    }

    /// Whether CRI knows an image by this name.
    pub fn has_image(&self, name: &str) -> Result<bool, Status> {
        let image = ImageSpec { image: name.to_owned(), ..ImageSpec::default() };
        let request = ImageStatusRequest { image: Some(image), verbose: false };
        let mut images = ImageServiceClient::new(self.channel.clone());
        let response = self.runtime.block_on(images.image_status(request))?;
        Ok(response.into_inner().image.is_some())
    }
}
