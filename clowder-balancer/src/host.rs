//! The defence of an open gateway against web pages: by DNS rebinding or plain cross-site requests, a page could have
//! the browser of whoever reads it use the models of this machine. Where API keys are set there is nothing to defend.

use crate::error::ApiError;
use axum::http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// The host names an open gateway answers to.
pub(crate) struct HostCheck {
    allowed: Vec<String>,
}

impl HostCheck {
    pub(crate) fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Checks `Host`, and `Origin` where a browser sends it. Requests without either come from no browser.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = uri.host().or_else(|| headers.get(header::HOST).map(|value| value.to_str().unwrap_or("?")));
        if let Some(host) = host.filter(|host| !self.is_ours(without_port(host))) {
            let host: String = host.chars().take(80).collect();
            let message = format!(
                "This gateway is not known as {host:?}: ask it as localhost, add the name to the allowed hosts, or set \
                 API keys."
            );
            return Err(ApiError::forbidden("host_not_allowed", message));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("?");
        let origin_host = origin.split_once("://").map_or("?", |(_, rest)| without_port(rest));
        if self.is_trusted(origin_host) {
            return Ok(());
        }
        let origin: String = origin.chars().take(80).collect();
        let message = format!(
            "Pages of {origin:?} may not use this gateway: add the page's host to the allowed hosts, or set API keys."
        );
        Err(ApiError::forbidden("origin_not_allowed", message))
    }

    /// Names that may be in `Host`. An address cannot be rebound, a name can.
    fn is_ours(&self, host: &str) -> bool {
        address(host).is_some() || self.is_trusted(host)
    }

    /// Hosts whose pages may use this gateway.
    fn is_trusted(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || address(&host).is_some_and(|ip| ip.is_loopback())
            || self.allowed.contains(&host)
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asked(host: &str, origin: Option<&str>) -> bool {
        let check = HostCheck::new(&["Gateway.lan".to_owned()]);
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check.check(&Uri::from_static("/v1/models"), &headers).is_ok()
    }

    #[test]
    fn loopback_names_addresses_and_allowed_names() {
        for host in
            ["localhost", "localhost:3090", "127.0.0.1:3090", "[::1]:3090", "10.1.2.3", "gateway.LAN:80", "a.localhost"]
        {
            assert!(asked(host, None), "{host}");
        }
        for host in ["evil.example", "evil.example:3090", "localhost.evil.example", ""] {
            assert!(!asked(host, None), "{host}");
        }
    }

    #[test]
    fn pages_of_other_hosts_are_refused() {
        assert!(asked("localhost", Some("http://localhost:5173")));
        assert!(!asked("localhost", Some("https://evil.example")));
        assert!(!asked("localhost", Some("http://203.0.113.5")));
        assert!(!asked("localhost", Some("null")));
    }
}
