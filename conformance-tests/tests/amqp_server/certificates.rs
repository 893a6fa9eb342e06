//! TLS with an authority of our own, and a login by certificate.

use std::fs;
use std::path::{Path, PathBuf};

use bananas_core::{ErrorKind, Status};
use conformance_tests::fault::Authority;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::message::works;
use crate::server::Server;

pub(crate) async fn an_authority_of_our_own_is_trusted_and_no_other(server: &Server) {
    let ca = server.authority.certificate.display();
    let url = format!("amqps://guest:guest@127.0.0.1:TLS?ca={ca}");
    works(&server.open(&url).await.unwrap()).await;
    let other = Authority::create(&server.folder.path().join("other")).unwrap();
    let ca = other.certificate.display();
    for wrong in [
        format!("amqps://guest:guest@127.0.0.1:TLS?ca={ca}"),
        "amqps://guest:guest@127.0.0.1:TLS".to_owned(),
    ] {
        let refused = server.open(&wrong).await.unwrap_err();
        let text = format!("{refused:#} {refused:?}").to_lowercase();
        assert!(text.contains("certificate"), "{text}");
    }
}

pub(crate) async fn a_certificate_logs_in_and_another_one_does_not(server: &Server) {
    let folder = server.folder.path();
    let query = |name: &str| {
        let certificate = folder.join(name).with_extension("pem");
        let key = folder.join(name).with_extension("key");
        format!(
            "amqps://127.0.0.1:TLS?ca={}&auth=external&cert={}&key={}",
            server.authority.certificate.display(),
            certificate.display(),
            key.display()
        )
    };
    works(&server.open(&query("clerk")).await.unwrap()).await;
    let refused = server.open(&query("nobody")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused:?}");
    assert_eq!(refused.status(), Status::Permanent);
}

/// Makes a certificate for each of these users, in the folder, and answers with the one of who has signed them.
pub(crate) fn of_users(folder: &Path, names: [&str; 2]) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = folder.join("users.pem");
    fs::write(&own, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in names {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(name).with_extension("pem"), signed.pem()).unwrap();
        let path = folder.join(name).with_extension("key");
        fs::write(path, key.serialize_pem()).unwrap();
    }
    own
}
