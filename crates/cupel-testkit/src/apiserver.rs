//! What an API server is given before it starts, and asked afterwards.

use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::Error;
use crate::Service;
use crate::error::BoxError;
use crate::http;
use crate::supervisor::Folder;

/// How many characters a line of a PEM file has (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// The folder of an API server that is about to start.
pub(crate) struct Apiserver {
    pub(crate) folder: Folder,
    pub(crate) token: String,
}

impl Apiserver {
    /// Makes the token of a user who may do everything, and the key that service accounts' tokens
    /// are signed with.
    pub(crate) fn prepare() -> Result<Self, Error> {
        let folder = Folder::create()?;
        let token = Uuid::new_v4().simple().to_string();
        folder.write("tokens.csv", &format!("{token},admin,admin,system:masters\n"))?;
        folder.write("service-accounts.pem", &signing_key()?)?;
        Ok(Self { folder, token })
    }
}

/// One user of one API server.
#[derive(Clone, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) port: u16,
    pub(crate) certificate: &'a Path,
    pub(crate) token: &'a str,
}

impl Access<'_> {
    /// Asks for a path and expects a good answer.
    pub(crate) async fn get(&self, path: &str) -> Result<(), BoxError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.certificate)? {
            roots.add(certificate?)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let server = TlsConnector::from(Arc::new(tls)).connect(name, server).await?;
        let authorization = format!("Authorization: Bearer {}\r\n", self.token);
        http::get_on(server, "127.0.0.1", path, &authorization).await
    }

    /// Writes down how to reach the server; the text stands on its own.
    pub(crate) fn kubeconfig(&self) -> Result<String, Error> {
        let certificate = fs::read(self.certificate)
            .map_err(Error::machine("read the API server's certificate"))?;
        let Self { port, token, .. } = self;
        let certificate = BASE64_STANDARD.encode(certificate);
        Ok(format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: testkit\n\
             contexts:\n\
             - name: testkit\n  \
               context: {{cluster: testkit, user: admin}}\n\
             clusters:\n\
             - name: testkit\n  \
               cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority-data: {certificate}}}\n\
             users:\n\
             - name: admin\n  \
               user: {{token: \"{token}\"}}\n"
        ))
    }
}

/// Makes an RSA key as PEM: of the kinds that an API server reads from one file as private and
/// as public key, the one that can be had here.
fn signing_key() -> Result<String, Error> {
    let refused = |_| Error::Refused {
        service: Service::Cluster,
        action: "be given a signing key",
        source: "no RSA key could be generated".into(),
    };
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(refused)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(refused)?;
    let text = BASE64_STANDARD.encode(der.as_ref());
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(pem)
}
