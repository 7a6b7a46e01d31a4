//! What the API refuses, in its own words.

use crate::answer::Answer;
use http::StatusCode;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// What a name or an id may be of, as the API spells it in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    AntiAffinityGroup,
    AntiAffinityGroupMember,
    Disk,
    FloatingIp,
    Image,
    Instance,
    IpPool,
    Project,
    Snapshot,
    SshKey,
    Subnet,
    Vpc,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AntiAffinityGroup => "anti-affinity-group",
            Self::AntiAffinityGroupMember => "anti-affinity-group-member",
            Self::Disk => "disk",
            Self::FloatingIp => "floating-ip",
            Self::Image => "image",
            Self::Instance => "instance",
            Self::IpPool => "ip-pool",
            Self::Project => "project",
            Self::Snapshot => "snapshot",
            Self::SshKey => "ssh-key",
            Self::Subnet => "vpc-subnet",
            Self::Vpc => "vpc",
        })
    }
}

/// A quota of a silo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    Cpus,
    Memory,
    Storage,
}

impl Quota {
    fn message(self) -> &'static str {
        match self {
            Self::Cpus => {
                "vCPU Limit Exceeded: Not enough vCPUs to complete request. Either stop unused instances to free up resources or contact the rack operator to request a capacity increase."
            }
            Self::Memory => {
                "Memory Limit Exceeded: Not enough memory to complete request. Either stop unused instances to free up resources or contact the rack operator to request a capacity increase."
            }
            Self::Storage => {
                "Storage Limit Exceeded: Not enough storage to complete request. Either remove unneeded disks and snapshots to free up resources or contact the rack operator to request a capacity increase."
            }
        }
    }
}

/// Why a request is refused. The text is what the client is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No such path, or not with this method.
    #[error("Not Found")]
    NoSuchOperation,
    /// The request is not what the description of the API says it must be.
    #[error("{0}")]
    Malformed(String),
    #[error("credentials missing or invalid")]
    Unauthorized,
    #[error("not found: {kind} with name \"{name}\"")]
    NoSuchName { kind: Kind, name: String },
    #[error("not found: {kind} with id \"{id}\"")]
    NoSuchId { kind: Kind, id: Uuid },
    #[error("already exists: {kind} \"{name}\"")]
    Exists { kind: Kind, name: String },
    #[error("{0}")]
    InvalidRequest(String),
    #[error("unsupported value for \"{label}\": {message}")]
    InvalidValue { label: &'static str, message: String },
    #[error("{0}")]
    Conflict(String),
    #[error("Insufficient capacity: {}", .0.message())]
    OverQuota(Quota),
    #[error("Insufficient capacity: {0}")]
    NoCapacity(&'static str),
    #[error("Too Many Requests")]
    TooManyRequests { retry_after: Duration },
    /// What is wrong is in the server's log and not in the answer.
    #[error("Internal Server Error")]
    Internal,
    #[error("Service Unavailable")]
    Unavailable,
}

impl Refusal {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRequest(message.into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchOperation | Self::NoSuchName { .. } | Self::NoSuchId { .. } => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::Exists { .. } | Self::InvalidRequest(_) | Self::InvalidValue { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::OverQuota(_) | Self::NoCapacity(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchOperation | Self::Malformed(_) | Self::TooManyRequests { .. } => None,
            Self::Unauthorized => Some("Unauthorized"),
            Self::NoSuchName { .. } | Self::NoSuchId { .. } => Some("ObjectNotFound"),
            Self::Exists { .. } => Some("ObjectAlreadyExists"),
            Self::InvalidRequest(_) => Some("InvalidRequest"),
            Self::InvalidValue { .. } => Some("InvalidValue"),
            Self::Conflict(_) => Some("Conflict"),
            Self::OverQuota(_) | Self::NoCapacity(_) => Some("InsufficientCapacity"),
            Self::Internal => Some("Internal"),
            Self::Unavailable => Some("ServiceNotAvailable"),
        }
    }

    /// The answer that says so.
    pub(crate) fn answer(&self, request_id: Uuid) -> Answer {
        let mut body = json!({ "message": self.to_string(), "request_id": request_id.to_string() });
        if let Some(code) = self.code() {
            body["error_code"] = code.into();
        }
        let retry_after = match self {
            Self::TooManyRequests { retry_after } => Some(*retry_after),
            _ => None,
        };
        Answer { status: self.status(), body: Some(body), retry_after }
    }
}
