//! `image DIR NAME…`: packs each directory `DIR/NAME` as the plain image `test.local/NAME:1` into `DIR/NAME.tar`.

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("usage: image DIR NAME..."));
    for name in arguments {
        harness::image::from_scratch(&dir.join(&name), &format!("test.local/{name}:1"), &dir.join(format!("{name}.tar")));
    }
}
