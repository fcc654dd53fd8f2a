//! One configured route: where it is, what it answers, and what its sessions are like.

use std::time::Duration;

use super::Mode;
use crate::definition::Key;

/// Where public keys are served; no route may take it.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What is served under one path.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path, beginning with a slash, without trailing slash.
    pub path: String,
    /// Only for this host (lower case, no port), if given.
    pub host: Option<String>,
    /// What it answers.
    pub kind: RouteKind,
    /// Name of the provider.
    pub provider: String,
    /// Lifetime to ask for, if not the provider's default.
    pub ttl: Option<Duration>,
    /// How long a request waits for the provider.
    pub deadline: Duration,
    /// Names of the identity sources, in order, where they are not those of `[identity]`.
    pub sources: Option<Vec<String>>,
    /// File, for messages.
    pub origin: String,
    /// Key in that file, for messages: `routes[0]`.
    pub key: Key,
}

/// What a route answers, with what only that kind needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// The session as JSON, for browsers and apps.
    Session,
    /// The session as the provider's own client library expects it.
    Client,
    /// The session as headers, for a reverse proxy that asks about each request.
    Subrequest(Mode),
}

/// Which paths a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its own.
    Exact,
    /// Its own and all below it.
    Below,
}

impl Reach {
    /// Whether a route at `own` serves `path`.
    pub fn covers(self, own: &str, path: &str) -> bool {
        match self {
            Self::Exact => path == own, // T-12: exact path
            Self::Below => path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

impl RouteKind {
    /// Whether it answers a reverse proxy.
    pub const fn is_subrequest(self) -> bool {
        matches!(self, Self::Subrequest(_))
    }

    /// Which paths it serves. Some proxies put the path of the user's request behind that of the subrequest.
    pub const fn reach(self) -> Reach {
        if self.is_subrequest() { Reach::Below } else { Reach::Exact }
    }
}

impl RouteKind {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Client => "client",
            Self::Subrequest(Mode::Optional) => "subrequest, optional",
            Self::Subrequest(Mode::Required) => "subrequest, required",
        }
    }
}

impl Route {
    /// What tells it from every other: its path, behind its host where it is for one. Hosts hold no slash.
    pub fn name(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }

    pub(super) fn covers(&self, path: &str) -> bool {
        self.kind.reach().covers(&self.path, path)
    }

    pub(super) fn clashes_with(&self, other: &Self) -> bool {
        self.host == other.host && (self.covers(&other.path) || other.covers(&self.path))
    }
}
