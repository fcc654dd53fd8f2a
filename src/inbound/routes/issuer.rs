//! What every route with sessions does: identify the user, and find or mint the session.

use std::sync::Arc;

use super::refused::Refused;
use crate::identity::{Identity, Refusal, Resolver};
use crate::inbound::request::Request;
use crate::session::{Entry, How, Plan, Sessions};

/// Whom a route serves, and with what.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) plan: Arc<Plan>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) resolver: Resolver,
}

impl Issuer {
    /// Who asks, with the body where that was read for it.
    pub(super) fn identify<'r>(
        &'r self,
        request: &'r Request,
        body: Option<&'r [u8]>,
    ) -> impl Future<Output = Result<Identity<'r>, Refusal>> {
        self.resolver.identify(request.asking(body))
    }

    /// The session of this user with these inputs, in the order of the definition.
    pub(super) async fn session(
        &self,
        request: &Request,
        identity: &Identity<'_>,
        inputs: &[Option<String>],
    ) -> Result<(Arc<Entry>, How), Refused> {
        let key = self.plan.key(identity, inputs);
        if let Some(found) = self.sessions.warm(&self.plan, &key) {
            return Ok(found);
        }
        // Boxed off the warm path, as in `Resolver::identify`.
        let minted = Box::pin(self.sessions.cold(&self.plan, &key, request.origin())).await;
        // A user who was denied meanwhile is refused, whatever came of the mint.
        // T-66: denied during the mint
        if let Err(refusal) = self.resolver.admits(identity) {
            self.sessions.forget(&identity.chat_subject());
            return Err(refusal.into());
        }
        Ok(minted?)
    }
}
