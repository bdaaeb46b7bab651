//! Whom TLS trusts: Mozilla's certificate authorities, built in, and those of a file, where an image or a pod brings one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where images have their certificates.
const USUAL: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The file that the environment names in SSL_CERT_FILE.
pub(crate) fn given_file(env: &[(String, String)]) -> Option<PathBuf> {
    let given = env.iter().find(|(name, value)| name == "SSL_CERT_FILE" && !value.is_empty());
    given.map(|(_, path)| PathBuf::from(path))
}

/// The files that [`tls`] reads, as far as they exist.
pub(crate) fn certificate_files(env: &[(String, String)]) -> Vec<PathBuf> {
    given_file(env).map_or_else(|| USUAL.iter().map(PathBuf::from).collect(), |file| vec![file])
}

/// TLS as a client, for any host. `file`: given explicitly (SSL_CERT_FILE), otherwise the usual places are tried.
pub(super) fn client_config(file: Option<&Path>) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    match file {
        Some(file) => {
            if add(&mut roots, file).is_none() {
                log::warn!("no certificates in {}", file.display());
            }
        }
        None => {
            let _ = USUAL.iter().find_map(|file| add(&mut roots, Path::new(file)));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the protocol versions that are the default")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn add(roots: &mut RootCertStore, file: &Path) -> Option<()> {
    let certificates = CertificateDer::pem_file_iter(file).ok()?;
    let (added, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    (added > 0).then_some(())
}
