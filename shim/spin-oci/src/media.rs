//! Media types of Spin's artifacts, and of those that hold a single wasm file.

/// The locked app: the last layer, in the oldest apps the config blob.
pub const LOCKED_APP: &str = "application/vnd.fermyon.spin.application.v1+config";
/// The wasm of a component.
pub const WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// One static file.
pub const DATA: &str = "application/vnd.wasm.content.layer.v1+data";
/// Static files in a tar file, found by the digest of their content.
pub const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
/// What `wkg oci push` calls a wasm file.
pub const WASM_PACKAGE: &str = "application/wasm";
/// What runwasi's tools call one.
pub const WASM_RUNWASI: &str = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";

/// A layer that is one wasm file.
pub(crate) fn is_wasm(media_type: &str) -> bool {
    matches!(media_type, WASM | WASM_PACKAGE | WASM_RUNWASI)
}

/// A layer that no file system is made of.
pub(crate) fn is_ours(media_type: &str) -> bool {
    is_wasm(media_type) || matches!(media_type, LOCKED_APP | DATA | ARCHIVE)
}
