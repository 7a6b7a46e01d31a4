//! Certificate authorities of a cluster, and certificates that they sign: ECDSA on P-256, as k3s makes its own.

use clowder_core::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority is valid: as one that k3s makes.
const AUTHORITY: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// How long a certificate is valid that an authority signed: as those that k3s makes.
const CERTIFICATE: Duration = Duration::from_secs(365 * DAY.as_secs());

/// How far the clock of a machine may be behind this one's.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// What an authority is for. Its name is the same in all clusters; its key is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It vouches for servers.
    Servers,
    /// It vouches for clients.
    Clients,
}

impl Purpose {
    fn common_name(self) -> &'static str {
        match self {
            Self::Servers => "clowder-server-ca",
            Self::Clients => "clowder-client-ca",
        }
    }
}

/// An authority: its certificate and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    purpose: Purpose,
    certificate: String,
    key: Secret,
}

/// A certificate that an authority signed, and its key, as PEM.
pub(super) struct Signed {
    pub(super) certificate: String,
    pub(super) key: Secret,
}

impl Authority {
    pub(super) fn generate(purpose: Purpose) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = authority(purpose, SystemTime::now()).self_signed(&key)?.pem();
        Ok(Self { purpose, certificate, key: Secret::new(key.serialize_pem()) })
    }

    /// One that was kept; `None` where certificate and key do not belong together, or are none.
    pub(super) fn restore(purpose: Purpose, certificate: String, key: Secret) -> Option<Self> {
        use base64::Engine as _;
        let pair = KeyPair::from_pem(key.expose()).ok()?;
        let body = certificate.strip_prefix("-----BEGIN CERTIFICATE-----\n")?;
        let (body, rest) = body.split_once("-----END CERTIFICATE-----\n")?;
        let der = base64::engine::general_purpose::STANDARD.decode(body.replace('\n', "")).ok()?;
        // A certificate has its public key in it as it is.
        let public = pair.public_key_raw();
        let together = rest.is_empty() && der.windows(public.len()).any(|window| window == public);
        together.then_some(Self { purpose, certificate, key })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    /// A certificate for this client, with a key of its own.
    pub(super) fn sign_client(&self, name: &str, group: &str) -> Result<Signed, rcgen::Error> {
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - SKEW).into();
        params.not_after = (now + CERTIFICATE).into();
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority(self.purpose, now), KeyPair::from_pem(self.key.expose())?);
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Signed { certificate, key: Secret::new(key.serialize_pem()) })
    }
}

/// An authority's own certificate. What it signs has only its name and its key in it, which do not change with time.
fn authority(purpose: Purpose, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, purpose.common_name());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.not_before = (now - SKEW).into();
    params.not_after = (now + AUTHORITY).into();
    params
}
