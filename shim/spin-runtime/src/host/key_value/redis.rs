//! Stores in a Redis server, a key for each key.

use std::collections::BTreeSet;

use async_trait::async_trait;
use redis::{AsyncCommands, Script};

use super::super::redis::{Connection, Servers};
use super::{Failure, MAX_BYTES, Store, key_size};
use crate::{RedisAddress, RuntimeError};

/// Replaces a value if it is still the old one: ARGV is the new value and, where there was a value, the old one.
const SWAP: &str = "local now = redis.call('GET', KEYS[1])
if (ARGV[2] == nil and now ~= false) or (ARGV[2] ~= nil and now ~= ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

/// Keys that the server looks at in one step of a scan.
const KEYS_OF_A_SCAN: u32 = 1000;

pub(super) struct RedisStore {
    servers: Servers,
    address: String,
}

impl RedisStore {
    pub(super) fn new(servers: &Servers, label: &str, url: &str) -> Result<Self, RuntimeError> {
        // The address stays out of the message: it may hold a password.
        let malformed =
            |_| RuntimeError::RuntimeConfig(format!("the url of the key-value store {label:?} is not a Redis address"));
        RedisAddress::parse(url).map_err(malformed)?;
        Ok(Self { servers: servers.clone(), address: url.to_owned() })
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        self.servers.connection(&self.address).await.map_err(|error| Failure(error.to_string()))
    }
}

fn failure(error: redis::RedisError) -> Failure {
    Failure(error.to_string())
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        let mut connection = self.connection().await?;
        // At most one byte more than is allowed, whatever the value's length. A missing value and an empty
        // one have the same range.
        let mut both = redis::pipe();
        both.getrange(&key, 0, MAX_BYTES as isize).exists(&key);
        match both.query_async::<(Vec<u8>, bool)>(&mut connection).await.map_err(failure)? {
            (value, _) if value.len() > MAX_BYTES => Err(Failure::too_big()),
            (value, false) if value.is_empty() => Ok(None),
            // Empty, unless it was set between the two commands.
            (value, true) if value.is_empty() => connection.get(key).await.map_err(failure),
            (value, _) => Ok(Some(value)),
        }
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        if value.len() > MAX_BYTES {
            return Err(Failure::too_big());
        }
        self.connection().await?.set(key, value).await.map_err(failure)
    }

    async fn delete(&self, key: String) -> Result<(), Failure> {
        self.connection().await?.del(key).await.map_err(failure)
    }

    async fn exists(&self, key: String) -> Result<bool, Failure> {
        self.connection().await?.exists(key).await.map_err(failure)
    }

    async fn keys(&self) -> Result<Vec<String>, Failure> {
        let mut connection = self.connection().await?;
        let (mut keys, mut bytes, mut cursor) = (BTreeSet::new(), 0, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(KEYS_OF_A_SCAN);
            let (next, page): (u64, Vec<String>) = scan.query_async(&mut connection).await.map_err(failure)?;
            for key in page {
                let size = key_size(&key);
                // A scan may return a key several times.
                if keys.insert(key) {
                    bytes += size;
                }
            }
            if bytes > MAX_BYTES {
                return Err(Failure::too_big());
            }
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            cursor = next;
        }
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, Failure> {
        self.connection().await?.incr(key, delta).await.map_err(failure)
    }

    async fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Result<bool, Failure> {
        if new.len() > MAX_BYTES {
            return Err(Failure::too_big());
        }
        let script = Script::new(SWAP);
        let mut call = script.key(key);
        call.arg(new);
        if let Some(old) = old {
            call.arg(old);
        }
        call.invoke_async(&mut self.connection().await?).await.map_err(failure)
    }
}
