//! Whom a server's certificate is checked against: a file that the user names, or the system's own list.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// What makes TLS connections.
///
/// # Errors
/// If there is no certificate to check against.
pub fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let wrong =
                |e: &dyn std::fmt::Display| format!("`{}` holds no certificates: {e}", path.display());
            for cert in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
                roots.add(cert.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate to check the server's against: name one with `ca_file`".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// A builder of HTTP clients for an address, which knows whom to believe if it is one of TLS.
///
/// # Errors
/// If there is no certificate to check against.
pub fn http(url: &str, ca_file: Option<&Path>) -> Result<reqwest::ClientBuilder, String> {
    if !url.starts_with("https://") {
        return Ok(crate::http::plain());
    }
    Ok(reqwest::Client::builder().tls_backend_preconfigured((*config(ca_file)?).clone()))
}
