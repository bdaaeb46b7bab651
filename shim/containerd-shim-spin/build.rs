//! How the program is linked, by Rust's own linker on x86-64, which can do all of it; others can't.

/// Functions of the same code become one, which makes it 3 % smaller.
const FOLDED: &str = "--icf=all";
/// What is executed lies in the file as it will in memory, to 2 MiB: where the kernel keeps the file in pieces of that size, it maps each as one page, for
/// which each process of a start has one page fault, not many (docs/operations.md). The file is not longer for it.
const LARGE_PAGES: &str = "-z,max-page-size=0x200000";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,{FOLDED},{LARGE_PAGES}");
    }
}
