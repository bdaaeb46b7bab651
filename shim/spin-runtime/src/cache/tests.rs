use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn make(cache: &Cache) -> File {
    cache.find_or(DIGEST, |file| file.write_all(b"code")).unwrap()
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
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
        let compile = |file: &mut File| {
            compiled.fetch_add(1, Ordering::SeqCst);
            file.write_all(b"code")
        };
        assert_eq!(text(cache.find_or(DIGEST, compile).unwrap()), "code");
    };
    std::thread::scope(|scope| (0..30).for_each(|_| drop(scope.spawn(start))));
    assert_eq!(compiled.into_inner(), 1);
}

#[test]
fn a_failed_compile_leaves_nothing_and_the_next_may_try() {
    let (_dir, cache) = cache();
    let result = cache.find_or(DIGEST, |_| Err("no"));
    assert!(matches!(result, Err(FindError::Compile("no"))));
    let left: Vec<_> = fs::read_dir(&cache.dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(LOCK)), "{left:?}");
    make(&cache);
}

#[test]
fn code_of_another_version_is_not_found() {
    let (_dir, cache) = cache();
    make(&cache);
    let other = Cache { compatibility: "other", dir: cache.dir.clone() };
    assert!(other.find(DIGEST).unwrap().is_none());
}

#[test]
fn a_directory_others_can_write_is_refused() {
    let (dir, _) = cache();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Cache::open(dir.path()), Err(CacheError::Untrusted { .. })));
}

#[test]
fn a_file_others_can_write_or_a_link_is_refused() {
    let (_dir, cache) = cache();
    make(&cache);
    let path = cache.entry(DIGEST).unwrap().path(CODE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(cache.find(DIGEST), Err(CacheError::Untrusted { .. })));
    fs::rename(&path, cache.dir.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(cache.dir.join("elsewhere"), &path).unwrap();
    assert!(cache.find(DIGEST).is_err());
}

#[test]
fn what_is_no_digest_names_no_file() {
    let (_dir, cache) = cache();
    for digest in ["", "sha256:", "sha256:../../etc/passwd", &DIGEST.to_uppercase(), "sha512:00"] {
        assert!(matches!(cache.find(digest), Err(CacheError::Digest(_))), "{digest}");
    }
}

#[test]
fn pruning_by_size_keeps_what_fits_and_what_is_open() {
    let (_dir, cache) = cache();
    let open = make(&cache);
    assert_eq!(cache.prune(4, Duration::from_secs(60)).unwrap(), 0);
    assert_eq!(cache.prune(3, Duration::from_secs(60)).unwrap(), 4);
    assert!(cache.find(DIGEST).unwrap().is_none());
    assert_eq!(text(open), "code");
}

#[test]
fn pruning_removes_other_versions_and_leftovers_of_killed_processes() {
    let (_dir, cache) = cache();
    make(&cache);
    let leftover = cache.entry(DIGEST).unwrap().temporary().unwrap();
    let old = SystemTime::now() - 2 * STALE;
    leftover.as_file().set_modified(old).unwrap();
    let (_, leftover) = leftover.keep().unwrap();
    let other = Cache { compatibility: "other", dir: cache.dir.clone() };
    other.prune(u64::MAX, Duration::MAX).unwrap();
    assert!(!leftover.exists());
    assert!(cache.find(DIGEST).unwrap().is_none());
}

#[test]
fn a_lock_in_use_outlives_pruning() {
    let (_dir, cache) = cache();
    let made = cache.find_or::<Infallible>(DIGEST, |file| {
        cache.prune(0, Duration::ZERO).unwrap();
        assert!(cache.entry(DIGEST).unwrap().path(LOCK).exists());
        file.write_all(b"code").unwrap();
        Ok(())
    });
    assert_eq!(text(made.unwrap()), "code");
}
