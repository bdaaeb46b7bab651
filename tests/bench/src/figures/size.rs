//! `size`: of the one binary that a node image is its base and.

use std::fs;
use std::path::Path;

use harness::required_env;

use crate::error::Error;
use crate::report::{Report, Side};

/// Stripped, as it is shipped.
pub fn measure(report: &mut Report) -> Result<(), Error> {
    report.step("size")?;
    let shim = Path::new(&required_env("SPIN_SHIM_DIR")).join("containerd-shim-spin-v2");
    let length = fs::metadata(&shim).map_err(Error::io(&shim))?.len();
    report.add("size/binary", "bytes", Side::new("containerd-shim-spin-v2", vec![length as f64]), None);
    Ok(())
}
