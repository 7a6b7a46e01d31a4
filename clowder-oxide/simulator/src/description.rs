//! The description of the API, and whether requests and answers are as it says.

mod schema;

use crate::answer::Answer;
use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::request::Request;
use http::{Method, StatusCode};
use schema::{Schemas, errors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The part of Oxide's own description that is simulated; `openapi/README.md` says whose it is.
const NEXUS: &str = include_str!("../openapi/nexus.json");

/// All operations, ready to be checked against. It is the same for all simulators of a process, and takes a moment to
/// compile.
pub(crate) static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::new(NEXUS));

/// The largest body that is read, in bytes, as the control plane is set up.
pub(crate) const MAX_BODY: usize = 1 << 20;

pub(crate) struct Description {
    operations: Vec<Described>,
    error: jsonschema::Validator,
}

struct Described {
    operation: Operation,
    method: Method,
    segments: Vec<Segment>,
    parameters: Vec<Parameter>,
    /// Query parameters that the first page of a list needs; later ones have them in their token.
    needed_by_first_page: Vec<String>,
    body: Option<jsonschema::Validator>,
    answers: BTreeMap<u16, Option<jsonschema::Validator>>,
}

enum Segment {
    Literal(String),
    Variable(String),
}

struct Parameter {
    name: String,
    in_path: bool,
    required: bool,
    integer: bool,
    schema: jsonschema::Validator,
}

impl Description {
    /// # Panics
    /// On a text that describes no API: it is compiled in, and the first test finds out.
    pub(crate) fn new(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).expect("the description is JSON");
        let schemas = Schemas::new(&document);
        let error = schemas.named("Error");
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("the description has paths") {
            for (method, described) in methods.as_object().expect("a path has methods") {
                operations.push(Described::new(path, method, described, &schemas));
            }
        }
        Self { operations, error }
    }

    /// What a request asks for, checked.
    pub(crate) fn read(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<(Operation, Request), (Option<Operation>, Refusal)> {
        let (described, path) = self.find(method, path).ok_or((None, Refusal::NoSuchOperation))?;
        let operation = described.operation;
        described
            .read(path, query, body)
            .map(|request| (operation, request))
            .map_err(|refusal| (Some(operation), refusal))
    }

    /// What is wrong with an answer, a line each.
    pub(crate) fn faults_of(&self, operation: Option<Operation>, answer: &Answer) -> Vec<String> {
        let name = operation.map_or("no operation", Operation::id);
        let body = answer.body.as_ref();
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let body = body.unwrap_or(&Value::Null);
            return errors(&self.error, body).map(|error| format!("{name}, {}: {error}", answer.status)).collect();
        }
        let described = self.operations.iter().find(|described| Some(described.operation) == operation);
        let expected = described.and_then(|described| described.answers.get(&answer.status.as_u16()));
        match (expected, body) {
            (None, _) => vec![format!("{name} never answers {}", answer.status)],
            (Some(None), None) => Vec::new(),
            (Some(None), Some(_)) => vec![format!("{name}, {}: there is no body", answer.status)],
            (Some(Some(_)), None) => vec![format!("{name}, {}: there is a body", answer.status)],
            (Some(Some(schema)), Some(body)) => {
                errors(schema, body).map(|error| format!("{name}, {}: {error}", answer.status)).collect()
            }
        }
    }

    fn find(&self, method: &Method, path: &str) -> Option<(&Described, BTreeMap<String, String>)> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        self.operations
            .iter()
            .filter(|described| described.method == *method)
            .find_map(|described| Some((described, variables(&described.segments, &parts)?)))
    }
}

fn variables(segments: &[Segment], parts: &[&str]) -> Option<BTreeMap<String, String>> {
    if segments.len() != parts.len() {
        return None;
    }
    let mut found = BTreeMap::new();
    for (segment, part) in segments.iter().zip(parts) {
        match segment {
            Segment::Literal(literal) if literal == part => {}
            Segment::Literal(_) => return None,
            Segment::Variable(name) => {
                found.insert(name.clone(), (*part).to_owned());
            }
        }
    }
    Some(found)
}

impl Described {
    fn new(path: &str, method: &str, described: &Value, schemas: &Schemas) -> Self {
        let id = described["operationId"].as_str().expect("an operation has an id");
        let operation = Operation::ALL.iter().copied().find(|operation| operation.id() == id);
        let segments = path.trim_start_matches('/').split('/').map(|part| {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => Segment::Variable(name.to_owned()),
                None => Segment::Literal(part.to_owned()),
            }
        });
        let parameters = described["parameters"].as_array().into_iter().flatten().map(|parameter| Parameter {
            name: parameter["name"].as_str().expect("a parameter has a name").to_owned(),
            in_path: parameter["in"] == "path",
            required: parameter["required"] == true,
            integer: parameter["schema"]["type"] == "integer",
            schema: schemas.compile(&parameter["schema"]),
        });
        let needed = described["x-dropshot-pagination"]["required"].as_array().into_iter().flatten();
        let content = |of: &Value| {
            let schema = &of["content"]["application/json"]["schema"];
            (!schema.is_null()).then(|| schemas.compile(schema))
        };
        let answers = described["responses"].as_object().expect("an operation has answers").iter();
        Self {
            operation: operation.unwrap_or_else(|| panic!("{id} is described and not simulated")),
            method: method.to_uppercase().parse().expect("a method"),
            segments: segments.collect(),
            parameters: parameters.collect(),
            needed_by_first_page: needed.filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
            body: content(&described["requestBody"]),
            answers: answers.filter_map(|(status, of)| Some((status.parse().ok()?, content(of)))).collect(),
        }
    }

    fn read(&self, path: BTreeMap<String, String>, query: Option<&str>, body: &[u8]) -> Result<Request, Refusal> {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let query: BTreeMap<String, String> = pairs.into_owned().collect();
        for parameter in &self.parameters {
            let (found, place) = match parameter.in_path {
                true => (path.get(&parameter.name), "URL path"),
                false => (query.get(&parameter.name), "query string"),
            };
            match found {
                Some(text) => parameter.check(text, place)?,
                None if parameter.required => return Err(missing(&parameter.name)),
                None => {}
            }
        }
        if !query.contains_key("page_token")
            && let Some(name) = self.needed_by_first_page.iter().find(|name| !query.contains_key(*name))
        {
            return Err(missing(name));
        }
        Ok(Request::new(path, query, self.read_body(body)?))
    }

    fn read_body(&self, body: &[u8]) -> Result<Value, Refusal> {
        let Some(schema) = &self.body else { return Ok(Value::Null) };
        let refuse = |error: String| Refusal::Malformed(format!("unable to parse JSON body: {error}"));
        let body = serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
        let error = errors(schema, &body).next();
        error.map_or(Ok(body), |error| Err(refuse(error)))
    }
}

impl Parameter {
    fn check(&self, text: &str, place: &str) -> Result<(), Refusal> {
        let value = match self.integer {
            true => text.parse::<u64>().map_or(Value::from(text), Value::from),
            false => Value::from(text),
        };
        match errors(&self.schema, &value).next() {
            Some(_) => Err(Refusal::Malformed(format!("bad parameter in {place}: {} {text:?}", self.name))),
            None => Ok(()),
        }
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::Malformed(format!("unable to parse query string: missing field `{name}`"))
}

/// A path without empty parts, of which Dropshot takes no notice: there is one where the host was written with a `/`.
pub(crate) fn normalized(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).fold(String::new(), |path, part| path + "/" + part)
}

/// Whether a request may change something.
pub(crate) fn is_mutating(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

/// The status of an answer that is not as described.
pub(crate) const NOT_AS_DESCRIBED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

#[cfg(test)]
mod tests;
