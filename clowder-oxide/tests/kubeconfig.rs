//! An administrator's kubeconfig and a server of the cluster trust each other, and nobody else: a TLS handshake, in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use clowder_oxide::bootstrap::{ClusterSecrets, Kubeconfig};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection};

const ADDRESS: &str = "203.0.113.7";

/// A certificate for the address, signed as k3s signs its own, with the authority's files alone.
fn server(secrets: &ClusterSecrets) -> ServerConfig {
    let kept = serde_json::to_value(secrets).unwrap();
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "clowder-server-ca");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::from_pem(kept["server_ca"]["key"].as_str().unwrap()).unwrap());
    let mut params = CertificateParams::new([ADDRESS.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();

    let clients = roots(kept["client_ca"]["certificate"].as_str().unwrap().as_bytes());
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.into(), provider.clone()).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}

/// What a client makes of the file.
fn client(kubeconfig: &Kubeconfig) -> ClientConfig {
    let file: Value = serde_saphyr::from_str(kubeconfig.expose()).unwrap();
    let data = |part: &Value| base64::engine::general_purpose::STANDARD.decode(part.as_str().unwrap()).unwrap();
    let servers = roots(&data(&file["clusters"][0]["cluster"]["certificate-authority-data"]));
    let user = &file["users"][0]["user"];
    let certificate = CertificateDer::from_pem_slice(&data(&user["client-certificate-data"])).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&data(&user["client-key-data"])).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(servers)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap()
}

fn roots(pem: &[u8]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    store
}

/// The client's certificate as the server has verified it.
fn handshake(client: ClientConfig, server: ServerConfig) -> Result<Vec<u8>, Error> {
    let mut client = ClientConnection::new(client.into(), ServerName::try_from(ADDRESS).unwrap()).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        server.read_tls(&mut sent.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut answered = Vec::new();
        server.write_tls(&mut answered).unwrap();
        client.read_tls(&mut answered.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.peer_certificates().unwrap()[0].to_vec())
}

fn kubeconfig(secrets: &ClusterSecrets) -> Kubeconfig {
    secrets.kubeconfig("clowder", &format!("https://{ADDRESS}:6443").parse().unwrap()).unwrap()
}

#[test]
fn administrator_and_server_trust_each_other() {
    let secrets = ClusterSecrets::generate().unwrap();
    // Kept and restored, as whoever replaces the controller has them.
    let restored: ClusterSecrets = serde_json::from_str(&serde_json::to_string(&secrets).unwrap()).unwrap();
    let seen = handshake(client(&kubeconfig(&restored)), server(&secrets)).unwrap();
    for word in ["clowder-admin", "system:masters"] {
        assert!(seen.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is in the certificate");
    }
}

#[test]
fn another_clusters_administrator_is_refused() {
    let (own, other) = (ClusterSecrets::generate().unwrap(), ClusterSecrets::generate().unwrap());
    // It knows the servers, and they do not know it.
    let mut mixed = serde_json::to_value(&other).unwrap();
    mixed["server_ca"] = serde_json::to_value(&own).unwrap()["server_ca"].clone();
    let stranger: ClusterSecrets = serde_json::from_value(mixed).unwrap();
    let refusal = handshake(client(&kubeconfig(&stranger)), server(&own)).unwrap_err();
    assert!(matches!(refusal, Error::InvalidCertificate(_)), "{refusal}");
}

#[test]
fn another_clusters_server_is_refused() {
    let (own, other) = (ClusterSecrets::generate().unwrap(), ClusterSecrets::generate().unwrap());
    let refusal = handshake(client(&kubeconfig(&own)), server(&other)).unwrap_err();
    assert!(matches!(refusal, Error::InvalidCertificate(_)), "{refusal}");
}

#[test]
fn the_file_is_what_kubectl_reads() {
    let secrets = ClusterSecrets::generate().unwrap();
    let text = kubeconfig(&secrets).expose().to_owned();
    let shape: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("-data: ") {
            Some((name, _)) => format!("{name}-data: …"),
            None => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!(shape.join("\n"));
}
