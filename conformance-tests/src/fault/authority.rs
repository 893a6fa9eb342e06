//! Certificates for servers that a check starts.

use std::fs;
use std::path::{Path, PathBuf};

use bananas_core::{Error, ErrorKind, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority that nobody knows, and the certificate that it gave to a server on the loopback address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The certificate by which clients know it, as a PEM file.
    pub certificate: PathBuf,
    /// The certificate of the server, for `127.0.0.1` and `localhost`, as a PEM file.
    pub server_certificate: PathBuf,
    /// The key of the server, as a PEM file.
    pub server_key: PathBuf,
}

impl Authority {
    /// Makes a new one, with its files in this folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        let [own, server, key] = texts().map_err(|error| broken("made", error))?;
        fs::create_dir_all(folder).map_err(|error| broken("kept", error))?;
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| broken("kept", error))?;
            Ok(path)
        };
        Ok(Self {
            certificate: write("authority.pem", own)?,
            server_certificate: write("server.pem", server)?,
            server_key: write("server.key", key)?,
        })
    }
}

/// The certificate of an authority, and certificate and key of a server.
fn texts() -> std::result::Result<[String; 3], rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let own = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(names)?.signed_by(&server_key, &issuer)?;
    Ok([own.pem(), server.pem(), server_key.serialize_pem()])
}

fn broken(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = format!("a certificate cannot be {what}");
    Error::new(ErrorKind::Internal, text).because(error)
}
