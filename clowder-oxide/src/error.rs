//! Why the rack did not do it, each in one line.

use oxide::types;
use reqwest::StatusCode;

/// The longest text of the rack's that is passed on, in characters.
const SAID: usize = 300;

/// Why something on the rack was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OxideError {
    /// A token that cannot be sent.
    #[error("the token for {host} is not usable: it is to be one line of visible ASCII characters")]
    InvalidToken {
        /// The rack.
        host: String,
    },
    /// A name that the rack takes for nothing.
    #[error(
        "{name:?} is no name on a rack: take 1 to 63 letters, digits and '-', a lower-case letter first and no '-' last"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A token that the rack does not know.
    #[error("{host} does not take the token: it is wrong or has expired; log in again or give another")]
    Unauthorized {
        /// The rack.
        host: String,
    },
    /// The token's owner may not do this.
    #[error("{host} does not allow it to {what}: the token's owner needs the role of a collaborator in the project")]
    Forbidden {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
    },
    /// Nobody answers.
    #[error("{host} cannot be reached to {what}: check the address and the network")]
    Unreachable {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
        /// Why, as far as it is known. It has no URL and no header.
        #[source]
        source: reqwest::Error,
    },
    /// The rack is there and cannot do it now.
    #[error("{host} cannot {what} now (HTTP {status}): {said}")]
    Unavailable {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
        /// How it answered.
        status: u16,
        /// What it said.
        said: String,
    },
    /// There is no such project.
    #[error("{host} has no project {project}: create it, or name another")]
    UnknownProject {
        /// The rack.
        host: String,
        /// The project.
        project: String,
    },
    /// The silo's quota or the rack's room is used up.
    #[error("there is no room to {what}: {said}; free some, or ask the rack's operator for a larger quota")]
    Quota {
        /// What was to be done.
        what: String,
        /// What the rack said.
        said: String,
    },
    /// What was asked about is not there.
    #[error("{host} finds nothing to {what}: {said}")]
    NotFound {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
        /// What it said.
        said: String,
    },
    /// Something of that name is there already.
    #[error("{host} cannot {what}: {said}")]
    Exists {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
        /// What it said.
        said: String,
    },
    /// The rack does not take the request.
    #[error("{host} refused to {what} (HTTP {status}): {said}")]
    Refused {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
        /// How it answered.
        status: u16,
        /// What it said.
        said: String,
    },
    /// An answer that makes no sense.
    #[error("{host} answered something unreadable when asked to {what}: is it an Oxide rack of a known version?")]
    Answer {
        /// The rack.
        host: String,
        /// What was to be done.
        what: String,
    },
    /// An image cannot be imported from its source.
    #[error("image {image} cannot be imported from {url}: {why}")]
    BadImage {
        /// The image.
        image: String,
        /// Where it was to come from, without user, password and query.
        url: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl OxideError {
    /// Whether the same call may well succeed in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// Whether nothing at all will succeed until a person has changed something.
    pub fn is_for_a_person(&self) -> bool {
        matches!(
            self,
            Self::InvalidToken { .. }
                | Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::UnknownProject { .. }
        )
    }

    /// What became of `what`, from what the rack's client says. Its own texts hold headers and whole bodies, so none is kept.
    pub(crate) fn new(host: &str, what: &str, error: oxide::Error<types::Error>) -> Self {
        let (host, what) = (host.to_owned(), what.to_owned());
        match error {
            oxide::Error::CommunicationError(source) | oxide::Error::ResponseBodyError(source) => {
                Self::Unreachable { host, what, source: source.without_url() }
            }
            oxide::Error::ErrorResponse(answer) => Self::answered(host, what, answer.status(), &answer.into_inner()),
            oxide::Error::UnexpectedResponse(answer) if answer.status().is_server_error() => {
                Self::Unavailable { host, what, status: answer.status().as_u16(), said: "no reason given".to_owned() }
            }
            oxide::Error::InvalidRequest(said) | oxide::Error::Custom(said) => {
                Self::Refused { host, what, status: 400, said: one_line(&said) }
            }
            oxide::Error::InvalidUpgrade(_)
            | oxide::Error::InvalidResponsePayload(..)
            | oxide::Error::UnexpectedResponse(_) => Self::Answer { host, what },
        }
    }

    fn answered(host: String, what: String, status: StatusCode, error: &types::Error) -> Self {
        let said = one_line(&error.message);
        let code = error.error_code.as_deref().unwrap_or_default();
        match (status, code) {
            (StatusCode::UNAUTHORIZED, _) => Self::Unauthorized { host },
            (StatusCode::FORBIDDEN, _) => Self::Forbidden { host, what },
            (StatusCode::NOT_FOUND, _) => Self::NotFound { host, what, said },
            (StatusCode::INSUFFICIENT_STORAGE, _) | (_, "InsufficientCapacity") => Self::Quota { what, said },
            (_, "ObjectAlreadyExists") => Self::Exists { host, what, said },
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::FAILED_DEPENDENCY | StatusCode::REQUEST_TIMEOUT, _) => {
                Self::Unavailable { host, what, status: status.as_u16(), said }
            }
            _ if status.is_server_error() => Self::Unavailable { host, what, status: status.as_u16(), said },
            _ => Self::Refused { host, what, status: status.as_u16(), said },
        }
    }
}

/// A text of somebody else's, made fit for a line.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).take(SAID).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: Option<&str>, message: &str) -> String {
        let error = types::Error {
            error_code: code.map(str::to_owned),
            message: message.to_owned(),
            request_id: "r-1".to_owned(),
        };
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-secret", reqwest::header::HeaderValue::from_static("do-not-show"));
        let answer = oxide::ResponseValue::new(error, StatusCode::from_u16(status).unwrap(), headers);
        OxideError::new("rack.example", "create machine w-0", oxide::Error::ErrorResponse(answer)).to_string()
    }

    #[test]
    fn every_refusal_is_one_line_that_says_what_to_do() {
        let lines = [
            answered(401, Some("Unauthorized"), "credentials missing or invalid"),
            answered(403, Some("Forbidden"), "Forbidden"),
            answered(404, Some("ObjectNotFound"), "not found: instance with name \"w-0\""),
            answered(400, Some("ObjectAlreadyExists"), "already exists: instance \"w-0\""),
            answered(507, Some("InsufficientCapacity"), "vCPU Limit Exceeded: Not enough vCPUs to complete request."),
            answered(400, Some("InvalidRequest"), "disk is\n\tattached"),
            answered(424, None, "Failed Dependency"),
            answered(429, None, ""),
            answered(503, Some("ServiceNotAvailable"), "Service Unavailable"),
        ];
        insta::assert_snapshot!(lines.join("\n"));
        assert!(!lines.concat().contains("do-not-show"));
    }

    #[test]
    fn a_long_text_of_the_racks_is_cut() {
        assert_eq!(one_line(&"x".repeat(9_999)).len(), SAID);
        assert_eq!(one_line(" a\u{1b}[31m\n b "), "a[31m b");
    }
}
