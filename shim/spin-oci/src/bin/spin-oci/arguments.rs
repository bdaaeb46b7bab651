//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use spin_oci::pack::Archives;

/// Makes OCI images of Spin apps: the artifact that `spin registry push` makes, or a plain image with spin.toml in its root.
///
/// The same app makes the same image, down to its digest. Exit codes: 0 done, 2 wrong usage, 64 the app's definition is wrong,
/// 65 its wasm is, 68 the image is, 69 the registry can't be reached or refuses the image, 77 credentials are missing or wrong.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Pack(Pack),
    Push(Push),
    Inspect(Inspect),
    Lock(Lock),
}

/// Write an app's image to a tar file, for `ctr images import` or `k3d image import`.
///
/// Prints the image's digest.
#[derive(Args, Debug)]
pub(crate) struct Pack {
    /// The directory with the app's spin.toml.
    pub(crate) dir: PathBuf,
    /// The tar file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The image's name; the app's own name and version otherwise.
    #[arg(long, value_name = "REF")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Push an app's image to a registry.
///
/// Prints the image's digest. Credentials are docker's: those of `docker login`, credential helpers included. Layers that the
/// registry has are not sent again.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// The directory with the app's spin.toml.
    pub(crate) dir: PathBuf,
    /// Where to: HOST[:PORT]/NAME[:TAG].
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Speak plain HTTP; otherwise only to registries on this machine.
    #[arg(long, visible_alias = "insecure")]
    pub(crate) plain_http: bool,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Show what an image holds: its app, triggers, variables, components and files.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// An image at a registry, a tar file of one, an OCI layout, or the directory of an app.
    pub(crate) target: String,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Speak plain HTTP; otherwise only to registries on this machine.
    #[arg(long, visible_alias = "insecure")]
    pub(crate) plain_http: bool,
}

/// Print the locked app of an app's artifact, as JSON.
#[derive(Args, Debug)]
pub(crate) struct Lock {
    /// The directory with the app's spin.toml.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// What kind of image it is to be.
#[derive(Args, Debug)]
pub(crate) struct Form {
    /// Make a plain image: spin.toml and the files in a root file system.
    #[arg(long, conflicts_with_all = ["archive", "annotation"])]
    pub(crate) plain: bool,
    /// Put a component's files into one archive layer; otherwise only where registries would not take as many layers.
    #[arg(long)]
    pub(crate) archive: bool,
    /// An annotation of the image; more than one may be given.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) annotation: Vec<(String, String)>,
}

impl Form {
    pub(crate) fn archives(&self) -> Archives {
        if self.archive { Archives::Always } else { Archives::WhenNeeded }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be KEY=VALUE".to_owned()),
    }
}
