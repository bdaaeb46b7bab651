//! Why a request is not served, as the guest gets to read it.

use thiserror::Error;

/// A request that ends without what was asked for.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// No such path.
    #[error("nothing here: try GET /menu, POST /order/NAME or GET /order/NAME")]
    NoSuchPage,
    /// The path names a dish that the restaurant does not serve.
    #[error("{0} is not on the menu")]
    NotOnTheMenu(String),
    /// Nobody ordered that, or too long ago.
    #[error("there is no such order of {0}")]
    NoSuchOrder(&'static str),
    /// The path exists, for other methods.
    #[error("only {allow} is possible here")]
    WrongMethod {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// Redis can't be reached, or failed. The cause goes to the log, not to the guest.
    #[error("orders can't be handled at the moment, try again soon")]
    RedisAway,
    /// The app's configuration is at fault. The cause goes to the log, not to the guest.
    #[error("the restaurant is not set up correctly")]
    Misconfigured,
    /// Another program wrote what is stored where an order should be.
    #[error("the stored order of {0} can't be read")]
    Unreadable(&'static str),
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoSuchPage | Self::NotOnTheMenu(_) | Self::NoSuchOrder(_) => 404,
            Self::WrongMethod { .. } => 405,
            Self::RedisAway => 503,
            Self::Misconfigured | Self::Unreadable(_) => 500,
        }
    }

    /// The header that goes with the status, where one does.
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::WrongMethod { allow } => Some(("allow", allow)),
            Self::RedisAway => Some(("retry-after", "2")),
            _ => None,
        }
    }
}
