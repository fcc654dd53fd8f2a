//! The `[identity]` section, checked as far as that can be done without knowing what sources are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

/// Who tells the user, and who may.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Names of the sources, in the order in which they are asked.
    pub source: Vec<String>,
    /// Definitions and settings of the operator's own, as written.
    pub sources: BTreeMap<String, Value>,
    /// What proves a peer that tells identity.
    pub peers: Peers,
    /// Services that prove themselves in another way, and name a user.
    pub callers: BTreeMap<String, Caller>,
    /// Who is served.
    pub users: Users,
    /// Groups that give a role, by role.
    pub roles: BTreeMap<String, Vec<String>>,
    /// File of the section, for messages.
    pub origin: String,
}

/// What proves a peer. Every kind that is set must hold; within a kind, one value is enough.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Networks that it connects from.
    pub networks: Vec<IpNet>,
    /// Users of unix sockets.
    pub unix_uids: Vec<u32>,
    /// Names in its client certificate: `spiffe://…` (URI) or `dns:NAME`.
    pub certificates: Vec<String>,
    /// SPIFFE ids that our own Envoy sidecar says it has, in `X-Forwarded-Client-Cert`.
    pub xfcc: Vec<String>,
    /// Workloads that our own Linkerd proxy says it is, in `l5d-client-id`.
    pub linkerd: Vec<String>,
    /// Keys for signed requests.
    pub hmac_key_files: Vec<PathBuf>,
    /// Shared secrets.
    pub secret_files: Vec<PathBuf>,
    /// Header of the shared secret.
    pub secret_header: Option<HeaderName>,
    /// Whether a network that holds everybody was asked for by name.
    pub insecure_trust_every_peer: bool,
}

impl Peers {
    /// Whether nothing is asked, so that nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
            && self.unix_uids.is_empty()
            && self.certificates.is_empty()
            && self.xfcc.is_empty()
            && self.linkerd.is_empty()
            && self.hmac_key_files.is_empty()
            && self.secret_files.is_empty()
    }
}

/// A service that may name a user.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// What proves it.
    pub proof: Peers,
    /// A token of its own that it must show.
    pub token: Option<CallerToken>,
    /// Names of the routes that it may use ([`Route::name`](super::Route::name)); empty means all.
    pub routes: Vec<String>,
}

/// A service's own token.
#[derive(Clone, Debug)]
pub struct CallerToken {
    /// Name of the source that verifies it.
    pub source: String,
    /// Its subjects.
    pub subjects: Vec<String>,
}

/// Who is served.
#[derive(Clone, Default)]
pub struct Users {
    /// Only these subjects, if there are any.
    pub allow: Vec<String>,
    /// Or members of these groups.
    pub allow_groups: Vec<String>,
    /// Never these subjects.
    pub deny: Vec<String>,
    /// Nor those in this file, one a line; read again when it changes.
    pub deny_file: Option<PathBuf>,
}

impl std::fmt::Debug for Users {
    /// The lists are full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { allow, allow_groups: _, deny, deny_file } = self;
        let mut shown = f.debug_struct("Users");
        shown
            .field("allow", &allow.len())
            .field("deny", &deny.len())
            .field("deny_file", deny_file)
            .finish_non_exhaustive()
    }
}
