//! What a push does, on stderr: a bar where a person watches, a line a layer where a file does.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use spin_oci::Digest;
use spin_oci::push::Progress;

/// Reports one push.
pub(crate) struct Report {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Report {
    pub(crate) fn new(name: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_prefix(format!("pushing {name}"));
            style.map(|style| bar.set_style(style.progress_chars("=> "))).ok();
            bar
        });
        Self { name: name.to_owned(), bar, started: Instant::now() }
    }

    /// The image is there.
    pub(crate) fn end(&self, digest: &Digest) {
        eprintln!("pushed {}@{digest} in {}", self.name, HumanDuration(self.started.elapsed()));
    }
}

impl Progress for Report {
    fn start(&self, blobs: usize, bytes: u64) {
        match &self.bar {
            Some(bar) => bar.set_length(bytes),
            None => eprintln!("pushing {}: {blobs} blobs, {}", self.name, HumanBytes(bytes)),
        }
    }

    fn blob(&self, digest: &Digest, media_type: &str, size: u64, found: bool) {
        let (short, verb) = (&digest.hex()[..12], if found { "exists" } else { "pushed" });
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{verb} {short}"));
                bar.inc(size);
            }
            None => eprintln!("{verb} {short} {} {media_type}", HumanBytes(size)),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
