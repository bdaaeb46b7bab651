//! The port in an entry of `allowed_outbound_hosts`.

use std::ops::Range;

use super::{default_port, host::number};

/// Which ports an entry allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PortPattern {
    /// `*`
    Any,
    /// The end is not part of it; a single port is a range of one.
    Range(Range<u32>),
}

impl PortPattern {
    /// Reads a port; where there is none, the scheme must have one of its own.
    pub(super) fn parse(port: &str, scheme: &str) -> Result<Self, String> {
        match port {
            "*" => Ok(Self::Any),
            "" => match default_port(scheme) {
                Some(port) => Ok(Self::one(port)),
                None => Err(format!("it has no port, and the scheme `{scheme}` has no usual one: add `:<port>` or `:*`")),
            },
            list if list.starts_with('{') => {
                Err("lists of ports in braces are not supported: write an entry for each, or a range `a..b`".to_owned())
            }
            _ => match port.split_once("..") {
                Some((start, end)) => {
                    range(start, end).ok_or_else(|| format!("`{port}` is not a range of ports `a..b` (b is not part of it)"))
                }
                None => number(port)
                    .map(Self::one)
                    .ok_or_else(|| format!("`{port}` is not a port: a number up to 65535, a range `a..b`, or `*`")),
            },
        }
    }

    pub(super) fn allows(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::Any, _) => true,
            (Self::Range(range), Some(port)) => range.contains(&port.into()),
            (Self::Range(_), None) => false,
        }
    }

    fn one(port: u16) -> Self {
        Self::Range(port.into()..u32::from(port) + 1)
    }
}

fn range(start: &str, end: &str) -> Option<PortPattern> {
    let range: Range<u32> = number(start)?..number(end)?;
    (!range.is_empty() && range.end <= 65536).then_some(PortPattern::Range(range))
}
