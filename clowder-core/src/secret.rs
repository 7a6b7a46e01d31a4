//! Values that must not reach a log, an error or an API answer.

use std::fmt;

/// A credential: a token, a key or `user:password`.
///
/// It has no `Display` and no `Serialize`, and its `Debug` prints nothing of the value, so it leaves the
/// process only where code calls [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends or stores it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How a [`Credentials`] value is presented to a server (the storage manager's `credentialsType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialsKind {
    /// `Authorization: Bearer VALUE`.
    #[default]
    Bearer,
    /// `Authorization: Basic VALUE`, the value being base64 of `user:password`.
    Basic,
}

/// What a model's source asks for before it hands out bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    /// How the value is presented.
    pub kind: CredentialsKind,
    /// The value.
    pub value: Secret,
}

impl Credentials {
    /// A bearer token.
    pub fn bearer(value: impl Into<String>) -> Self {
        Self { kind: CredentialsKind::Bearer, value: Secret::new(value) }
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> Secret {
        let scheme = match self.kind {
            CredentialsKind::Bearer => "Bearer",
            CredentialsKind::Basic => "Basic",
        };
        Secret::new(format!("{scheme} {}", self.value.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_nothing_of_the_value() {
        let printed = format!("{:?}", Credentials::bearer("hf_abc"));
        assert!(!printed.contains("hf_abc"), "{printed}");
    }

    #[test]
    fn authorization_carries_the_scheme() {
        let basic = Credentials { kind: CredentialsKind::Basic, value: Secret::new("dTpw") };
        assert_eq!(basic.authorization().expose(), "Basic dTpw");
        assert_eq!(Credentials::bearer("t").authorization().expose(), "Bearer t");
    }
}
