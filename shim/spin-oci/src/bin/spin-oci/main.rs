//! `spin-oci`: packs, pushes and shows OCI images of Spin apps.

mod arguments;
mod progress;
mod show;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use spin_app::text::one_line;
use spin_oci::OciError;
use spin_oci::pack::{Artifact, Image, load_directory, plain, write_archive};
use spin_oci::push::{PlainHttp, Registry, full_name};

use crate::arguments::{Arguments, Command, Form, Inspect, Lock, Pack, Push};
use crate::progress::Report;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Pack(arguments) => pack(&arguments),
        Command::Push(arguments) => push(&arguments),
        Command::Inspect(arguments) => inspect(&arguments),
        Command::Lock(arguments) => lock(&arguments),
    };
    match done {
        Ok(text) => print(&text),
        Err(error) => {
            // With words of registries and images.
            eprintln!("spin-oci: {}", one_line(&error.to_string()));
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
    }
}

fn pack(arguments: &Pack) -> Result<String, OciError> {
    let app = load_directory(&arguments.dir)?;
    let name = match &arguments.name {
        Some(name) => full_name(name)?,
        None => full_name(&format!("{}:{}", app.app.name(), app.app.version().unwrap_or("latest")))?,
    };
    let image = image(&app, &arguments.form)?;
    write_archive(&image, &name, &arguments.out)?;
    eprintln!("{name} is in {}", arguments.out.display());
    Ok(format!("{}\n", image.top().digest))
}

fn push(arguments: &Push) -> Result<String, OciError> {
    let registry = Registry::new(&arguments.reference, plain_http(arguments.plain_http))?;
    let image = image(&load_directory(&arguments.dir)?, &arguments.form)?;
    let report = Report::new(&registry.name());
    let digest = registry.push(&image, &report)?;
    report.end(&digest);
    Ok(format!("{digest}\n"))
}

fn inspect(arguments: &Inspect) -> Result<String, OciError> {
    let opened = spin_oci::open(&arguments.target, plain_http(arguments.plain_http))?;
    Ok(if arguments.json { show::json(&opened) } else { show::text(&opened) })
}

fn lock(arguments: &Lock) -> Result<String, OciError> {
    let app = load_directory(&arguments.dir)?;
    Ok(show::locked(&artifact(&arguments.form).locked_app(&app)?))
}

fn image(app: &spin_oci::LoadedApp, form: &Form) -> Result<Image, OciError> {
    if form.plain { plain(app) } else { artifact(form).image(app) }
}

fn artifact(form: &Form) -> Artifact {
    Artifact { archives: form.archives(), annotations: form.annotation.iter().cloned().collect() }
}

fn plain_http(asked: bool) -> PlainHttp {
    if asked { PlainHttp::Always } else { PlainHttp::Loopback }
}

/// To a pipe that may have been closed by its reader.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
