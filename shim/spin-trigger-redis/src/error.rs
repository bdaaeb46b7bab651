//! Why a Redis trigger cannot start. That Redis itself cannot be reached is none of the reasons: it may come back.

use spin_runtime::RuntimeError;

/// Why the Redis trigger refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `[application.trigger.redis]` has a wrong type somewhere.
    #[error("the app's Redis settings are malformed: {0}")]
    AppSettings(#[source] serde_json::Error),
    /// A trigger's settings have an unknown field or a wrong type.
    #[error("Redis trigger '{trigger}' is malformed: {source}")]
    Trigger {
        /// The trigger's id.
        trigger: String,
        /// What serde says, naming the field.
        source: serde_json::Error,
    },
    /// Neither the trigger nor the app says which server to listen to.
    #[error("Redis trigger '{trigger}' has no address, and neither has [application.trigger.redis]")]
    NoAddress {
        /// The trigger's id.
        trigger: String,
    },
    /// The trigger names a component the app does not have.
    #[error("Redis trigger '{trigger}' names component '{component}', which the app does not have")]
    NoSuchComponent {
        /// The trigger's id.
        trigger: String,
        /// The component's id.
        component: String,
    },
    /// A variable is missing, or the component does not handle messages.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The text is no address of a Redis server.
    #[error("the address '{address}' of Redis trigger '{trigger}' is malformed: {reason}")]
    Address {
        /// The trigger's id.
        trigger: String,
        /// The address without its credentials.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Error {
    /// The app's exit code: 64 for a bad app definition, 66 for a malformed address, the runtime's own for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AppSettings(_) | Self::Trigger { .. } | Self::NoAddress { .. } | Self::NoSuchComponent { .. } => 64,
            Self::Address { .. } => 66,
            Self::Runtime(error) => error.exit_code(),
        }
    }
}
