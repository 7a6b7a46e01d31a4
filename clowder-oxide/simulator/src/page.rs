//! Lists, a page at a time, as Dropshot cuts them.

use crate::answer::Answer;
use crate::refusal::Refusal;
use crate::request::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use oxide::types::NameOrIdSortMode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Items of a page where the client does not say.
const DEFAULT_LIMIT: usize = 100;

/// The most items of a page.
const MAX_LIMIT: usize = 10_000;

/// What a page token holds: all parameters of the first page, and where the page before ended. A client sends nothing
/// else with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    v: Version,
    page_start: PageStart,
}

#[derive(Debug, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "v1")]
    V1,
}

#[derive(Debug, Serialize, Deserialize)]
struct PageStart {
    query: BTreeMap<String, String>,
    last_seen: String,
}

impl Token {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let bytes = URL_SAFE.decode(text).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token.ok_or_else(|| Refusal::Malformed("unable to parse pagination token".to_owned()))
    }

    /// The parameters of the first page.
    pub(crate) fn query(&self) -> &BTreeMap<String, String> {
        &self.page_start.query
    }
}

/// An item of a list: its name, its id, and how it is shown.
pub(crate) type Row<T> = (String, Uuid, T);

/// The page that is asked for of these items.
pub(crate) fn page<T: Serialize>(request: &Request, rows: impl Iterator<Item = Row<T>>) -> Result<Answer, Refusal> {
    let token = request.token()?;
    let query = token.as_ref().map_or(request.raw_query(), Token::query);
    let sort = match query.get("sort_by") {
        Some(text) => {
            text.parse().map_err(|_| Refusal::Malformed("bad parameter in query string: sort_by".to_owned()))?
        }
        None => NameOrIdSortMode::NameAscending,
    };
    let limit = request.raw_query().get("limit").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_LIMIT);
    let mut rows: Vec<(String, T)> = rows
        .map(|(name, id, view)| match sort {
            NameOrIdSortMode::IdAscending => (id.to_string(), view),
            NameOrIdSortMode::NameAscending | NameOrIdSortMode::NameDescending => (name, view),
        })
        .collect();
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    if sort == NameOrIdSortMode::NameDescending {
        rows.reverse();
    }
    if let Some(token) = &token {
        let seen = &token.page_start.last_seen;
        rows.retain(|(key, _)| match sort {
            NameOrIdSortMode::NameDescending => key < seen,
            NameOrIdSortMode::NameAscending | NameOrIdSortMode::IdAscending => key > seen,
        });
    }
    rows.truncate(limit.min(MAX_LIMIT));
    let mut body = json!({ "items": rows.iter().map(|(_, view)| view).collect::<Vec<_>>() });
    // Only an empty page is known to be the last.
    if let Some((last_seen, _)) = rows.last() {
        let mut query = query.clone();
        query.remove("limit");
        let token = Token { v: Version::V1, page_start: PageStart { query, last_seen: last_seen.clone() } };
        let token = serde_json::to_vec(&token).map_err(|_| Refusal::Internal)?;
        body["next_page"] = URL_SAFE.encode(token).into();
    }
    Answer::ok(&body)
}
