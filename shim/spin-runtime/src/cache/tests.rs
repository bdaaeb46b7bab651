use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

/// A compiler that makes this code of everything.
fn compile(code: &str) -> impl FnOnce() -> io::Result<File> {
    move || {
        let mut file = tempfile::tempfile()?;
        file.write_all(&[code.as_bytes(), &[0; SEAL_BYTES]].concat())?;
        Ok(file)
    }
}

fn make(cache: &Cache) -> File {
    cache.find_or(DIGEST, compile("code")).unwrap()
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes.truncate(bytes.len() - SEAL_BYTES);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_was_made_is_found() {
    let (_dir, cache) = cache();
    assert!(cache.find(DIGEST).unwrap().is_none());
    assert_eq!(text(make(&cache)), "code");
    assert_eq!(text(cache.find(DIGEST).unwrap().unwrap()), "code");
}

#[test]
fn many_starts_at_once_compile_once() {
    let (_dir, cache) = cache();
    let compiled = AtomicUsize::new(0);
    let start = || {
        let counted = || {
            compiled.fetch_add(1, Ordering::SeqCst);
            compile("code")()
        };
        assert_eq!(text(cache.find_or(DIGEST, counted).unwrap()), "code");
    };
    std::thread::scope(|scope| (0..30).for_each(|_| drop(scope.spawn(start))));
    assert_eq!(compiled.into_inner(), 1);
}

#[test]
fn a_failed_compile_leaves_nothing_and_the_next_may_try() {
    let (_dir, cache) = cache();
    let result = cache.find_or(DIGEST, || Err("no"));
    assert!(matches!(result, Err(FindError::Compile("no"))));
    let left: Vec<_> = fs::read_dir(&cache.dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "key" || name.to_string_lossy().ends_with(LOCK)), "{left:?}");
    make(&cache);
}

#[test]
fn code_of_another_version_is_not_found() {
    let (_dir, cache) = cache();
    make(&cache);
    let other = Cache { compatibility: "other", dir: cache.dir.clone(), key: cache.key.clone() };
    assert!(other.find(DIGEST).unwrap().is_none());
}

#[test]
fn a_directory_others_can_write_is_refused() {
    let (dir, _) = cache();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Cache::open(dir.path()), Err(CacheError::Untrusted(_))));
}

/// Compiles to "new" where the entry is not used; what is found then.
fn made_again(cache: &Cache) -> String {
    text(cache.find_or(DIGEST, compile("new")).unwrap())
}

#[test]
fn a_file_others_can_write_or_a_link_is_made_again() {
    let (_dir, cache) = cache();
    make(&cache);
    let path = cache.entry(DIGEST).unwrap().path(CODE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!((cache.find(DIGEST).unwrap().is_none(), made_again(&cache).as_str()), (true, "new"));
    fs::rename(&path, cache.dir.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(cache.dir.join("elsewhere"), &path).unwrap();
    assert_eq!((cache.find(DIGEST).unwrap().is_none(), made_again(&cache).as_str()), (true, "new"));
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[test]
fn a_damaged_file_is_made_again_whatever_the_damage() {
    let (_dir, cache) = cache();
    let good = {
        make(&cache);
        fs::read(cache.entry(DIGEST).unwrap().path(CODE)).unwrap()
    };
    let flipped = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let cut = (0..good.len()).map(|length| good[..length].to_vec());
    let longer = [&good[..], b"x"].concat();
    for bytes in flipped.chain(cut).chain([longer]) {
        let path = cache.entry(DIGEST).unwrap().path(CODE);
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        assert!(cache.find(DIGEST).unwrap().is_none(), "{bytes:?} is used");
        assert_eq!(made_again(&cache), "new");
    }
}

#[test]
fn a_seal_is_of_one_name_and_one_key() {
    let (_dir, cache) = cache();
    make(&cache);
    let (entry, other) = (cache.entry(DIGEST).unwrap().path(CODE), &DIGEST.replace("0123", "4567"));
    fs::copy(&entry, cache.entry(other).unwrap().path(CODE)).unwrap();
    assert!(cache.find(other).unwrap().is_none(), "code of another component is used");
    fs::remove_file(cache.dir.join("key")).unwrap();
    let another_key = Cache::open(&cache.dir).unwrap();
    assert!(another_key.find(DIGEST).unwrap().is_none(), "code sealed with another key is used");
}

#[test]
fn the_key_is_for_root_alone_and_a_bad_one_is_replaced() {
    let (_dir, cache) = cache();
    let path = cache.dir.join("key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    make(&Cache::open(&cache.dir).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(text(Cache::open(&cache.dir).unwrap().find(DIGEST).unwrap().unwrap()), "code");
}

#[test]
fn many_who_open_a_new_cache_have_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    std::thread::scope(|scope| (0..30).for_each(|_| drop(scope.spawn(|| make(&Cache::open(&path).unwrap())))));
    assert_eq!(text(Cache::open(&path).unwrap().find(DIGEST).unwrap().unwrap()), "code");
}

#[test]
fn what_is_no_digest_names_no_file() {
    let (_dir, cache) = cache();
    for digest in ["", "sha256:", "sha256:../../etc/passwd", &DIGEST.to_uppercase(), "sha512:00"] {
        assert!(matches!(cache.find(digest), Err(CacheError::Digest(_))), "{digest}");
    }
}

const UNBOUNDED: Bounds = Bounds { bytes: u64::MAX, files: u64::MAX, age: Duration::MAX };

#[test]
fn pruning_by_size_keeps_what_fits_and_what_is_open() {
    let (_dir, cache) = cache();
    let open = make(&cache);
    let length = (4 + SEAL_BYTES) as u64;
    assert_eq!(cache.prune(&Bounds { bytes: length, files: 1, ..UNBOUNDED }).unwrap(), 0);
    assert_eq!(cache.prune(&Bounds { bytes: length - 1, ..UNBOUNDED }).unwrap(), length);
    assert!(cache.find(DIGEST).unwrap().is_none());
    assert_eq!(text(open), "code");
}

#[test]
fn the_longest_unused_exceed_bounds_first() {
    let entries = || {
        [(1, 10, 1, "new"), (9, 10, 1, "old"), (5, 10, 1, "older")]
            .map(|(age, bytes, files, name)| (Duration::from_secs(age), bytes, files, name))
            .to_vec()
    };
    let exceeded = |bounds: Bounds| bounds.exceeded_by(entries());
    assert!(exceeded(UNBOUNDED).is_empty());
    assert_eq!(exceeded(Bounds { bytes: 20, ..UNBOUNDED }), ["old"]);
    assert_eq!(exceeded(Bounds { files: 1, ..UNBOUNDED }), ["older", "old"]);
    assert_eq!(exceeded(Bounds { age: Duration::from_secs(8), ..UNBOUNDED }), ["old"]);
}

#[test]
fn pruning_removes_files_and_locks_of_killed_processes_and_none_in_use() {
    let (_dir, cache) = cache();
    let in_use = cache.entry(DIGEST).unwrap().temporary().unwrap();
    let killed = cache.dir.join(format!("killed{TEMPORARY}"));
    fs::write(&killed, "half").unwrap();
    assert_eq!(cache.prune(&UNBOUNDED).unwrap(), 4);
    assert!(in_use.path().exists() && !killed.exists());
}

#[test]
fn code_of_another_version_is_kept_for_as_long_as_any() {
    let (_dir, cache) = cache();
    make(&cache);
    let other = Cache { compatibility: "other", dir: cache.dir.clone(), key: cache.key.clone() };
    assert_eq!(other.prune(&UNBOUNDED).unwrap(), 0);
    assert_ne!(other.prune(&Bounds { age: Duration::ZERO, ..UNBOUNDED }).unwrap(), 0);
}

#[test]
fn a_lock_in_use_outlives_pruning() {
    let (_dir, cache) = cache();
    let made = cache.find_or(DIGEST, || {
        cache.prune(&Bounds { bytes: 0, files: 0, age: Duration::ZERO }).unwrap();
        assert!(cache.entry(DIGEST).unwrap().path(LOCK).exists());
        compile("code")()
    });
    assert_eq!(text(made.unwrap()), "code");
}

#[test]
fn code_that_cannot_be_kept_is_used_from_where_it_was_made() {
    let (_dir, cache) = cache();
    // No file can be made in a directory that is gone, whatever the user's rights.
    fs::remove_dir_all(&cache.dir).unwrap();
    assert_eq!(text(cache.find_or(DIGEST, compile("code")).unwrap()), "code");
}

#[test]
fn a_directory_that_others_can_read_is_closed_to_them() {
    let (_dir, cache) = cache();
    fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o755)).unwrap();
    Cache::open(&cache.dir).unwrap();
    assert_eq!(fs::metadata(&cache.dir).unwrap().permissions().mode() & 0o777, 0o700);
}
