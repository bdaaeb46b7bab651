//! What containerd calls: `-info`, `start`, `delete`.

mod delete;
mod features;
mod info;
mod start;

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use containerd_shim::Flags;

use start::Part;

pub use delete::{clean_up, unmount_rootfs};

/// containerd sends far less; it allows itself as much.
const LONGEST_INPUT: u64 = 10 << 20;

/// Acts on containerd's command line.
pub fn main(args: &[OsString]) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-spin-v2: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<()> {
    let flags = containerd_shim::parse(args)?;
    if flags.info {
        return print(&info::reply(&read_input()?)?);
    }
    if flags.version {
        return print(format!("containerd-shim-spin-v2 {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    }
    match flags.action.as_str() {
        "start" => match start::start(flags, &read_input()?)? {
            Part::Start(reply) => print(&reply),
            Part::Daemon(daemon) => daemon.run(),
        },
        "delete" => print(&delete::delete(&flags, &bundle_of(&flags)?)?),
        "" => bail!("containerd starts this program; by hand, try -v or -info"),
        other => bail!("unknown action {other:?}"),
    }
}

/// containerd names the bundle, or starts us in it.
fn bundle_of(flags: &Flags) -> Result<PathBuf> {
    if flags.bundle.is_empty() {
        return std::env::current_dir().context("the working directory");
    }
    Ok(PathBuf::from(&flags.bundle))
}

fn read_input() -> Result<Vec<u8>> {
    let mut input = Vec::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(LONGEST_INPUT).read_to_end(&mut input).context("reading standard input")?;
    }
    Ok(input)
}

fn print(reply: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(reply)?;
    Ok(stdout.flush()?)
}
