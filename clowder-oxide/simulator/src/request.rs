//! What is asked for.

use crate::page::Token;
use crate::refusal::Refusal;
use oxide::types::NameOrId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A request that is as the description of the API says it must be.
#[derive(Debug)]
pub(crate) struct Request {
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    body: Value,
}

impl Request {
    pub(crate) fn new(path: BTreeMap<String, String>, query: BTreeMap<String, String>, body: Value) -> Self {
        Self { path, query, body }
    }

    /// A variable of the path.
    pub(crate) fn path(&self, name: &str) -> Result<NameOrId, Refusal> {
        let text = self.path.get(name).ok_or(Refusal::NoSuchOperation)?;
        text.parse().map_err(|_| Refusal::Malformed(format!("bad parameter in URL path: {name}")))
    }

    /// A parameter of the query that is a name or an id. The later pages of a list have it in their token.
    pub(crate) fn query(&self, name: &str) -> Result<Option<NameOrId>, Refusal> {
        let token = self.token()?;
        let text = token.as_ref().map_or(&self.query, |token| token.query()).get(name);
        let parsed = text.map(|text| text.parse()).transpose();
        parsed.map_err(|_| Refusal::Malformed(format!("bad parameter in query string: {name}")))
    }

    /// A parameter of the query as it was written.
    pub(crate) fn raw_query(&self) -> &BTreeMap<String, String> {
        &self.query
    }

    /// Which page of a list is asked for, if not the first.
    pub(crate) fn token(&self) -> Result<Option<Token>, Refusal> {
        self.query.get("page_token").map(|text| Token::parse(text)).transpose()
    }

    /// The body.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        T::deserialize(&self.body).map_err(|error| Refusal::Malformed(format!("unable to parse JSON body: {error}")))
    }
}
