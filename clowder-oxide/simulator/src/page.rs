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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn ask(query: &BTreeMap<String, String>, names: &[String]) -> Result<Value, Refusal> {
        let request = Request::new(BTreeMap::new(), query.clone(), Value::Null);
        let rows = names.iter().enumerate().map(|(n, name)| (name.clone(), Uuid::from_u128(n as u128), name));
        page(&request, rows).map(|answer| answer.body.unwrap_or_default())
    }

    proptest! {
        #[test]
        fn pages_hold_all_in_order_and_nothing_twice(
            names in proptest::collection::btree_set("[a-z]{1,3}", 0..30),
            limit in 1_usize..12,
            descending: bool,
        ) {
            let mut expected: Vec<String> = names.into_iter().collect();
            let mut query = BTreeMap::from([("limit".to_owned(), limit.to_string())]);
            if descending {
                expected.reverse();
                query.insert("sort_by".to_owned(), "name_descending".to_owned());
            }
            let mut listed: Vec<String> = Vec::new();
            loop {
                let body = ask(&query, &expected).unwrap();
                let items: Vec<String> = serde_json::from_value(body["items"].clone()).unwrap();
                prop_assert!(items.len() <= limit);
                listed.extend(items);
                let Some(token) = body["next_page"].as_str() else { break };
                let token = token.to_owned();
                query = BTreeMap::from([("limit".to_owned(), limit.to_string()), ("page_token".to_owned(), token)]);
            }
            prop_assert_eq!(listed, expected);
        }

        #[test]
        fn a_token_of_a_strangers_making_is_refused(text in "\\PC{0,40}", sort in "[a-z_]{0,12}") {
            let query = BTreeMap::from([("page_token".to_owned(), text)]);
            prop_assert!(ask(&query, &[]).is_err());
            let start = json!({ "v": "v1", "page_start": { "query": { "sort_by": sort }, "last_seen": "" } });
            let query = BTreeMap::from([("page_token".to_owned(), URL_SAFE.encode(start.to_string()))]);
            let known = ["name_ascending", "name_descending", "id_ascending"].contains(&sort.as_str());
            prop_assert_eq!(ask(&query, &[]).is_ok(), known);
        }
    }
}
