//! Why an HTTP trigger cannot start.

use std::io;
use std::net::SocketAddr;

/// Why the HTTP trigger refuses to start; nothing here can happen once [`crate::Server::bind`] has returned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `[application.trigger.http]` holds something else than an absent `base` or `/`.
    #[error("the HTTP trigger's base path '{0}' is not supported: give each route its full path instead")]
    Base(String),
    /// `[application.trigger.http]` does not have the shape of the settings it may hold.
    #[error("the app's HTTP settings are malformed: {0}")]
    AppSettings(#[source] serde_json::Error),
    /// A trigger's settings have an unknown field or a wrong type.
    #[error("HTTP trigger '{trigger}' is malformed: {source}")]
    Trigger {
        /// The trigger's id.
        trigger: String,
        /// What serde says, naming the field.
        source: serde_json::Error,
    },
    /// A trigger must say who answers, once.
    #[error("HTTP trigger '{trigger}' has {found}: give it a component or a static_response, exactly one of them")]
    Target {
        /// The trigger's id.
        trigger: String,
        /// `neither` or `both`, in words.
        found: &'static str,
    },
    /// `route = { private = false }`.
    #[error("HTTP trigger '{trigger}' has route {{ private = false }}: a route is a path or {{ private = true }}")]
    NotPrivate {
        /// The trigger's id.
        trigger: String,
    },
    /// A route that is no pattern.
    #[error("route '{route}' of HTTP trigger '{trigger}' is malformed: {reason}")]
    Route {
        /// The trigger's id.
        trigger: String,
        /// The route as written.
        route: String,
        /// What is wrong with it.
        reason: crate::route::PatternError,
    },
    /// The CGI-like executor, which this host does not have.
    #[error("HTTP trigger '{trigger}' asks for the wagi executor, which is not supported: build the component for wasi:http")]
    Wagi {
        /// The trigger's id.
        trigger: String,
    },
    /// A status code, header name or header value that HTTP does not allow.
    #[error("static_response of HTTP trigger '{trigger}' is malformed: {reason}")]
    StaticResponse {
        /// The trigger's id.
        trigger: String,
        /// What is wrong with it.
        reason: http::Error,
    },
    /// The trigger names a component the app does not have.
    #[error("HTTP trigger '{trigger}' names component '{component}', which the app does not have")]
    NoSuchComponent {
        /// The trigger's id.
        trigger: String,
        /// The component's id.
        component: String,
    },
    /// The component has no function that could answer a request.
    #[error(transparent)]
    Component(#[from] spin_runtime::RuntimeError),
    /// Another process has the port.
    #[error("cannot listen on {address}: the port is already in use")]
    PortTaken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The kernel does not let this process have the port.
    #[error(
        "cannot listen on {address}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
    )]
    PortForbidden {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Any other failure to listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The threads that serve could not be started.
    #[error("cannot start the HTTP workers: {0}")]
    Workers(#[from] io::Error),
}

impl Error {
    /// The app's exit code: 64 for a bad app definition, the runtime's own for a component, 67 for a port that cannot be had, 70 for
    /// everything that is nobody's mistake.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Base(_)
            | Self::AppSettings(_)
            | Self::Trigger { .. }
            | Self::Target { .. }
            | Self::NotPrivate { .. }
            | Self::Route { .. }
            | Self::Wagi { .. }
            | Self::StaticResponse { .. }
            | Self::NoSuchComponent { .. } => 64,
            Self::Component(error) => error.exit_code(),
            Self::PortTaken { .. } | Self::PortForbidden { .. } | Self::Listen { .. } => 67,
            Self::Workers(_) => 70,
        }
    }

    pub(crate) fn listen(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address },
            io::ErrorKind::PermissionDenied => Self::PortForbidden { address },
            _ => Self::Listen { address, source },
        }
    }
}
