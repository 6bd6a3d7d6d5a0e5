//! Where HTTP clients come from, so that none of them looks for certificates that it never needs.

/// A builder for addresses without TLS. One for `https://` must be given certificates to check against: it knows none.
pub(crate) fn plain() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder();
    #[cfg(feature = "own")]
    let builder = builder.tls_backend_preconfigured(no_certificates());
    builder
}

/// Believes nobody. Without it a client would read the system's certificates, and want a provider of ciphers by default.
#[cfg(feature = "own")]
fn no_certificates() -> rustls::ClientConfig {
    static CONFIG: std::sync::LazyLock<rustls::ClientConfig> = std::sync::LazyLock::new(|| {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers of the default versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    });
    CONFIG.clone()
}
