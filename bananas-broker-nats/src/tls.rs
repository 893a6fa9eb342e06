//! How a connection is encrypted: rustls with ring, and the authorities that are trusted.

use std::path::Path;
use std::sync::Arc;

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore, crypto};

use crate::config::{NatsConfig, Tls};
use crate::error::Error;

/// The settings of TLS, if it is on.
pub(crate) fn settings(config: &NatsConfig) -> Result<Option<ClientConfig>, Error> {
    let roots = match &config.tls {
        Tls::Off => return Ok(None),
        Tls::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
        Tls::Authority(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| no_pem(path, &e))?;
            }
            roots
        }
    };
    if roots.is_empty() {
        let why = "no certificate of an authority was found; name a PEM file with ?ca= in the URL";
        return Err(Error::Refused(why.to_owned()));
    }
    // The provider is named, so that nothing depends on who installed which as the default of the process.
    let client = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Refused(e.to_string()))?
        .with_root_certificates(roots);
    let client = match &config.identity {
        None => client.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| no_pem(key, &e))?;
            let client = client.with_client_auth_cert(chain, secret);
            client.map_err(|e| no_pem(certificate, &e))?
        }
    };
    Ok(Some(client))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_file_iter(path).map_err(|e| no_pem(path, &e))?;
    all.collect::<Result<Vec<_>, _>>()
        .map_err(|e| no_pem(path, &e))
}

fn no_pem(path: &Path, why: &impl ToString) -> Error {
    let why = why.to_string();
    Error::Refused(format!("the PEM file {path:?} cannot be used: {why}"))
}
