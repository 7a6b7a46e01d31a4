//! A rack that is reached by a host name.

use clowder_oxide_simulator::{Options, Simulator, Tls};
use oxide::{Client, ClientConfig, ClientProjectsExt, Error};
use std::net::{IpAddr, Ipv4Addr};

const HOST: &str = "rack.example";

#[tokio::test]
async fn a_client_that_knows_the_certificate_gets_in() {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let (certificates, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = Tls { host: HOST.to_owned(), certificates: certificates.clone(), key };
    assert!(!format!("{tls:?}").contains("PRIVATE KEY"));
    let rack = Simulator::start(Options { tls: Some(tls), ..Options::default() }).await.unwrap();
    assert_eq!((rack.url().scheme(), rack.url().host_str()), ("https", Some(HOST)));
    let config = ClientConfig::default()
        .with_host_and_token(rack.url(), rack.token())
        .with_resolve(HOST, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let certificate = reqwest::Certificate::from_pem(certificates.as_bytes()).unwrap();
    let knowing = Client::new_authenticated_config(&config.clone().with_cert(certificate)).unwrap();
    assert!(knowing.project_list().send().await.unwrap().items.is_empty());
    let unknowing = Client::new_authenticated_config(&config).unwrap();
    assert!(matches!(unknowing.project_list().send().await, Err(Error::CommunicationError(_))));
}

#[tokio::test]
async fn what_is_no_certificate_is_said_at_the_start() {
    let tls = Tls { host: HOST.to_owned(), certificates: "none".to_owned(), key: "none".to_owned() };
    let error = Simulator::start(Options { tls: Some(tls), ..Options::default() }).await.unwrap_err();
    assert_eq!(error.to_string(), "the simulator's certificate or key is not usable");
}
