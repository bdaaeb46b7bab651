//! `size`: of the one binary that a node image is its base and.

use std::fs;

use harness::shim;

use crate::error::Error;
use crate::report::{Report, Side};

/// Stripped, as it is shipped.
pub fn measure(report: &mut Report) -> Result<(), Error> {
    report.step("size")?;
    let shim = shim::program();
    let length = fs::metadata(&shim).map_err(Error::io(&shim))?.len();
    report.add("size/binary", "bytes", Side::new("containerd-shim-spin-v2", vec![length as f64]), None);
    Ok(())
}
