//! Stores in an SQLite file, or in memory where there is no directory to keep one in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use tokio::task::spawn_blocking;

use super::{Failure, MAX_BYTES, Store, key_size};

/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(5);

/// One file, opened when it is first used.
#[derive(Clone)]
pub(super) struct Database {
    path: Option<PathBuf>,
    /// Bytes that it may take where it is in memory.
    max_memory: u64,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// One store in it.
pub(super) struct SqliteStore {
    database: Database,
    label: String,
}

impl Database {
    pub(super) fn new(path: Option<PathBuf>, max_memory: u64) -> Self {
        Self { path, max_memory, connection: Arc::default() }
    }

    pub(super) fn store(&self, label: &str) -> SqliteStore {
        SqliteStore { database: self.clone(), label: label.to_owned() }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = match &self.path {
            None => {
                let connection = Connection::open_in_memory()?;
                let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
                connection.pragma_update(
                    None,
                    "max_page_count",
                    i64::try_from(self.max_memory).unwrap_or(i64::MAX) / page_size,
                )?;
                connection
            }
            Some(path) => {
                // If it can't be made, opening says why.
                let _ = path.parent().map(std::fs::create_dir_all);
                let connection = Connection::open(path)?;
                connection.busy_timeout(BUSY)?;
                // Where the file system can't share memory the older journal stays in use.
                let _ = connection.pragma_update(None, "journal_mode", "WAL");
                connection.pragma_update(None, "synchronous", "NORMAL")?;
                connection
            }
        };
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key))",
        )?;
        Ok(connection)
    }
}

/// Fails where this process may not write the file, or the directory in which SQLite makes it and its journal. Returns the path
/// that may not be written, and the reason.
pub(super) fn check_writable(file: &Path) -> Result<(), (PathBuf, io::Error)> {
    let may =
        |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).map_err(|error| (path.to_owned(), error.into()));
    // Directories that are missing are made when the store is opened.
    let directory = file.ancestors().skip(1).find(|directory| directory.exists()).unwrap_or(Path::new("."));
    may(directory, Access::WRITE_OK | Access::EXEC_OK)?;
    if file.exists() { may(file, Access::READ_OK | Access::WRITE_OK) } else { Ok(()) }
}

impl SqliteStore {
    /// Runs it where blocking hurts nobody.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (database, label) = (self.database.clone(), self.label.clone());
        let result = spawn_blocking(move || {
            let mut connection = database.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match &mut *connection {
                Some(connection) => connection,
                None => connection.insert(database.open()?),
            };
            work(connection, &label)
        });
        match result.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if self.database.path.is_none() && error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                Err(Failure(format!("the store is full: it may have {} bytes in memory", self.database.max_memory)))
            }
            Ok(Err(error)) => Err(Failure(error.to_string())),
            Err(_) => Err(Failure("the store is closed".to_owned())),
        }
    }
}

const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SET: &str =
    "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3) ON CONFLICT (store, key) DO UPDATE SET value = ?3";

fn get(connection: &Connection, store: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached(GET)?.query_row(params![store, key], |row| row.get(0)).optional()
}

fn set(connection: &Connection, store: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection.prepare_cached(SET)?.execute(params![store, key, value]).map(drop)
}

#[async_trait]
impl Store for SqliteStore {
    fn file(&self) -> Option<&Path> {
        self.database.path.as_deref()
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        self.run(move |connection, store| get(connection, store, &key)).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        if value.len() > MAX_BYTES {
            return Err(Failure::too_big());
        }
        self.run(move |connection, store| set(connection, store, &key, &value)).await
    }

    async fn delete(&self, key: String) -> Result<(), Failure> {
        let delete = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
        self.run(move |connection, store| connection.prepare_cached(delete)?.execute(params![store, key]).map(drop)).await
    }

    async fn exists(&self, key: String) -> Result<bool, Failure> {
        let exists = "SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2";
        self.run(move |connection, store| connection.prepare_cached(exists)?.exists(params![store, key])).await
    }

    async fn keys(&self) -> Result<Vec<String>, Failure> {
        let keys = "SELECT key FROM spin_key_value WHERE store = ?1";
        let keys = self.run(move |connection, store| {
            let mut statement = connection.prepare_cached(keys)?;
            let mut bytes = 0;
            let mut found = Vec::new();
            for key in statement.query_map([store], |row| row.get::<_, String>(0))? {
                let key = key?;
                bytes += key_size(&key);
                if bytes > MAX_BYTES {
                    return Ok(Err(Failure::too_big()));
                }
                found.push(key);
            }
            Ok(Ok(found))
        });
        keys.await?
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, Failure> {
        let sum = self.run(move |connection, store| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let text = get(&transaction, store, &key)?;
            let number = match &text {
                None => Some(0),
                Some(text) => str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()),
            };
            let Some(sum) = number.and_then(|number| number.checked_add(delta)) else { return Ok(None) };
            set(&transaction, store, &key, sum.to_string().as_bytes())?;
            transaction.commit()?;
            Ok(Some(sum))
        });
        sum.await?.ok_or_else(|| Failure("the value is not a number, or the sum would be too big for one".to_owned()))
    }

    async fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Result<bool, Failure> {
        if new.len() > MAX_BYTES {
            return Err(Failure::too_big());
        }
        let swap = self.run(move |connection, store| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if get(&transaction, store, &key)? != old {
                return Ok(false);
            }
            set(&transaction, store, &key, &new)?;
            transaction.commit()?;
            Ok(true)
        });
        swap.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        "key".to_owned()
    }

    #[tokio::test]
    async fn what_is_set_is_there_until_it_is_deleted() {
        let store = Database::new(None, 1 << 20).store("default");
        store.set(key(), b"value".to_vec()).await.unwrap();
        assert_eq!(store.get(key()).await.unwrap().unwrap(), b"value");
        assert_eq!(store.keys().await.unwrap(), ["key"]);
        store.delete(key()).await.unwrap();
        assert!(!store.exists(key()).await.unwrap());
    }

    #[tokio::test]
    async fn stores_of_one_file_are_apart_and_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = Some(dir.path().join("new/state.db"));
        Database::new(path.clone(), 0).store("a").set(key(), b"1".to_vec()).await.unwrap();
        let database = Database::new(path, 0);
        assert!(database.store("a").exists(key()).await.unwrap());
        assert!(!database.store("b").exists(key()).await.unwrap());
    }

    #[tokio::test]
    async fn a_number_counts_and_does_not_overflow() {
        let store = Database::new(None, 1 << 20).store("default");
        assert_eq!(store.increment(key(), 40).await.unwrap(), 40);
        assert_eq!(store.increment(key(), 2).await.unwrap(), 42);
        assert!(store.increment(key(), i64::MAX).await.is_err());
        assert_eq!(store.get(key()).await.unwrap().unwrap(), b"42");
    }

    #[tokio::test]
    async fn a_swap_loses_against_a_change() {
        let store = Database::new(None, 1 << 20).store("default");
        assert!(store.swap(key(), None, b"1".to_vec()).await.unwrap());
        assert!(!store.swap(key(), None, b"2".to_vec()).await.unwrap());
        assert!(store.swap(key(), Some(b"1".to_vec()), b"3".to_vec()).await.unwrap());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_a_failure_in_words() {
        let store = Database::new(Some("/proc/none/state.db".into()), 0).store("default");
        assert!(store.get(key()).await.unwrap_err().0.contains("unable to open database file"));
    }

    #[tokio::test]
    async fn a_store_in_memory_is_bounded_and_goes_on_when_it_is_full() {
        let store = Database::new(None, 1 << 20).store("default");
        let value = || vec![0; 600 << 10];
        store.set("a".to_owned(), value()).await.unwrap();
        let failure = store.set("b".to_owned(), value()).await.unwrap_err();
        assert_eq!(failure.0, "the store is full: it may have 1048576 bytes in memory");
        store.delete("a".to_owned()).await.unwrap();
        store.set("b".to_owned(), value()).await.unwrap();
        assert_eq!(store.keys().await.unwrap(), ["b"]);
    }
}
