//! Who may ask: bearer tokens compared in constant time, and where an open gateway may listen.

use crate::config::Auth;
use crate::error::ApiError;
use axum::http::{HeaderMap, header};
use clowder_core::Secret;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use subtle::{Choice, ConstantTimeEq};

/// A gateway would be open to more than this machine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{address} can be reached from other machines and no API key is set, so anybody could use the models: set an API \
     key, or listen on 127.0.0.1"
)]
pub struct ExposureError {
    /// Where it should have listened.
    pub address: SocketAddr,
}

/// Refuses to open `/v1` to other machines without API keys.
///
/// # Errors
/// [`ExposureError`] for an address off loopback without keys.
pub fn check_exposure(address: SocketAddr, auth: &Auth) -> Result<(), ExposureError> {
    if address.ip().to_canonical().is_loopback() || !auth.api_keys.is_empty() {
        Ok(())
    } else {
        Err(ExposureError { address })
    }
}

/// Digests of all secrets: comparing digests takes the same time whatever is presented.
pub(crate) struct Keyring {
    admin: Option<[u8; 32]>,
    api: Vec<[u8; 32]>,
}

impl Keyring {
    pub(crate) fn new(auth: &Auth) -> Self {
        let digest = |secret: &Secret| Sha256::digest(secret.expose().as_bytes()).into();
        Self { admin: auth.admin_token.as_ref().map(digest), api: auth.api_keys.iter().map(digest).collect() }
    }

    /// Whether `/v1` is open to whoever reaches it.
    pub(crate) fn is_open(&self) -> bool {
        self.api.is_empty()
    }

    pub(crate) fn authorize_admin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.admin.is_none() {
            let message = "The operational API is switched off: start the gateway with an admin token.";
            return Err(ApiError::forbidden("operational_api_off", message));
        }
        let presented = bearer(headers, "the admin token")?;
        if contains(self.admin.iter(), presented) {
            return Ok(());
        }
        Err(ApiError::unauthorized("The admin token is not the one of this gateway."))
    }

    pub(crate) fn authorize_api(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_open() {
            return Ok(());
        }
        let presented = bearer(headers, "an API key")?;
        if contains(self.api.iter().chain(&self.admin), presented) {
            return Ok(());
        }
        Err(ApiError::unauthorized("The API key is none of this gateway's."))
    }
}

fn contains<'a>(expected: impl Iterator<Item = &'a [u8; 32]>, presented: &str) -> bool {
    let presented: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
    expected.fold(Choice::from(0), |found, one| found | one.ct_eq(&presented)).into()
}

fn bearer<'a>(headers: &'a HeaderMap, what: &str) -> Result<&'a str, ApiError> {
    let missing = || ApiError::unauthorized(format!("Send {what} in the header `Authorization: Bearer …`."));
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn presenting(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn nobody_is_exposed_by_accident() {
        let open = Auth::default();
        let keyed = Auth { api_keys: vec![Secret::new("k")], ..Auth::default() };
        for loopback in ["127.0.0.1:3090", "[::1]:3090", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check_exposure(loopback.parse().unwrap(), &open), Ok(()));
        }
        for reachable in ["0.0.0.0:3090", "[::]:3090", "192.168.1.7:3090"] {
            let address = reachable.parse().unwrap();
            assert_eq!(check_exposure(address, &open), Err(ExposureError { address }));
            assert_eq!(check_exposure(address, &keyed), Ok(()));
        }
    }

    #[test]
    fn the_admin_token_opens_everything_and_a_key_only_v1() {
        let auth = Auth {
            admin_token: Some(Secret::new("root")),
            api_keys: vec![Secret::new("one"), Secret::new("two")],
            ..Auth::default()
        };
        let keys = Keyring::new(&auth);
        assert!(keys.authorize_admin(&presenting("Bearer root")).is_ok());
        assert!(keys.authorize_api(&presenting("bearer root")).is_ok());
        assert!(keys.authorize_api(&presenting("Bearer two")).is_ok());
        for wrong in ["Bearer two", "Bearer roo", "Bearer ", "Basic root", "root"] {
            assert!(keys.authorize_admin(&presenting(wrong)).is_err(), "{wrong}");
        }
        assert!(keys.authorize_api(&HeaderMap::new()).is_err());
    }

    #[test]
    fn without_a_token_the_operational_api_is_closed() {
        let keys = Keyring::new(&Auth::default());
        assert!(keys.authorize_admin(&presenting("Bearer ")).is_err());
        assert!(keys.authorize_api(&HeaderMap::new()).is_ok());
    }
}
