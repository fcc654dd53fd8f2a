//! Users' own signed assertions, where a service shows one beside its own proof: whose word they are, whoever sends them.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Sources;
use crate::identity::peer::Rank;
use crate::identity::resolver::Resolver;
use crate::identity::{ConnectionProof, Evidence, Identity, Peer, Refusal};

/// Verifies assertions by the sources of `[identity]` whose tokens are proof by themselves.
#[derive(Clone, Debug)]
pub struct Assertions(Resolver);

impl Sources {
    /// What verifies users' own assertions; `None` where no source does.
    pub fn assertions(&self) -> Option<Assertions> {
        let of_default = |name: &String| self.all.iter().find(|source| source.name == *name);
        let sources: Vec<_> = self.default.iter().filter_map(of_default).filter(|own| own.stands_alone()).collect();
        if sources.is_empty() {
            return None;
        }
        let sources = sources.into_iter().map(Arc::clone).collect();
        Some(Assertions(Resolver { sources, users: self.users.clone(), ..Resolver::default() }))
    }
}

impl Assertions {
    /// The subject of a token, and what chat user ids are made of for it. Users who are not served have none.
    pub async fn subject(&self, token: &str) -> Result<(String, String), Refusal> {
        let mut headers = HeaderMap::new();
        for source in &self.0.sources {
            if let Some((name, line)) = source.line_of(token) {
                headers.insert(name.clone(), line);
            }
        }
        // Nothing of the connection that brought it counts.
        let connection = ConnectionProof { peer: Peer::Unix { uid: u32::MAX }, met: 0, rank: Rank::Unproven };
        let method = Method::GET;
        let evidence =
            Evidence { connection, method: &method, target: "/", headers: &headers, body: None, relayed: None };
        let identity: Identity<'_> = self.0.identify(evidence).await?;
        Ok((identity.subject().to_owned(), identity.chat_subject().into_owned()))
    }
}
