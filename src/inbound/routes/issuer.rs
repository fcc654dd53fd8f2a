//! What every route with sessions does: identify the user, and find or mint the session.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::input::Read;
use super::refused::Refused;
use crate::identity::{Identity, Refusal, Resolver};
use crate::inbound::request::Request;
use crate::pacing::{Intake, TooMuch};
use crate::session::{Entry, How, Plan, Sessions};

/// Whom a route serves, and with what.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) plan: Arc<Plan>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) resolver: Resolver,
    /// What the team may ask of the process, if it is one.
    pub(super) intake: Option<Arc<Intake>>,
}

/// A session for the user of a request.
pub(super) struct Found<'r> {
    pub(super) identity: Identity<'r>,
    pub(super) entry: Arc<Entry>,
    pub(super) how: How,
}

/// Why a request has no session yet.
pub(super) enum Missing<'r> {
    /// The key of its token may be found.
    Key,
    /// This user has none with these inputs.
    Session(Box<Identity<'r>>, Vec<Option<String>>),
    /// It gets none.
    Refused(Refused),
}

impl Issuer {
    /// The session of a request without a body, where neither a key nor a mint has to be waited for.
    pub(super) fn at_once<'r>(
        &'r self,
        request: &'r Request,
        inputs: impl FnOnce() -> Read,
    ) -> Result<Found<'r>, Missing<'r>> {
        let identity = match self.resolver.resolve(&request.asking(None)) {
            Ok(identity) => identity,
            Err(refusal) if refusal.may_want_a_key() => return Err(Missing::Key),
            Err(refusal) => return Err(Missing::Refused(refusal.into())),
        };
        self.count().map_err(|too_much| Missing::Refused(too_much.into()))?;
        let inputs = inputs().map_err(|fault| Missing::Refused(fault.into()))?;
        match self.sessions.warm(&self.plan, &self.plan.key(&identity, &inputs)) {
            Some((entry, how)) => Ok(Found { identity, entry, how }),
            None => Err(Missing::Session(Box::new(identity), inputs)),
        }
    }

    /// The same, once what was missing is there.
    pub(super) async fn wait<'r>(
        &'r self,
        request: &'r Request,
        missing: Missing<'r>,
        inputs: impl FnOnce() -> Read,
    ) -> Result<Found<'r>, Refused> {
        let (identity, inputs) = match missing {
            Missing::Key => {
                let identity = self.identify(request, None).await?;
                self.count()?;
                (identity, inputs()?)
            }
            Missing::Session(identity, inputs) => (*identity, inputs),
            Missing::Refused(refused) => return Err(refused),
        };
        self.session(request, identity, &inputs).await
    }

    /// Counts a request of a user who is known: what strangers ask takes nothing from the team.
    pub(super) fn count(&self) -> Result<(), TooMuch> {
        // F-18: requests of a team
        self.intake.as_ref().map_or(Ok(()), |intake| intake.count())
    }

    /// A place for a mint or a sign-out, until it is dropped.
    pub(super) fn place(&self) -> Result<Option<SemaphorePermit<'_>>, TooMuch> {
        // F-18: work of a team
        self.intake.as_ref().map(|intake| intake.begin()).transpose()
    }

    /// Who asks, with the body where that was read for it.
    pub(super) fn identify<'r>(
        &'r self,
        request: &'r Request,
        body: Option<&'r [u8]>,
    ) -> impl Future<Output = Result<Identity<'r>, Refusal>> {
        self.resolver.identify(request.asking(body))
    }

    /// The session of this user with these inputs, in the order of the definition.
    pub(super) async fn session<'r>(
        &self,
        request: &Request,
        identity: Identity<'r>,
        inputs: &[Option<String>],
    ) -> Result<Found<'r>, Refused> {
        let key = self.plan.key(&identity, inputs);
        if let Some((entry, how)) = self.sessions.warm(&self.plan, &key) {
            return Ok(Found { identity, entry, how });
        }
        let _place = self.place()?;
        let minted = self.sessions.cold(&self.plan, &key, request.origin()).await;
        // A user who was denied meanwhile is refused, whatever came of the mint.
        // T-66: denied during the mint
        if let Err(refusal) = self.resolver.admits(&identity) {
            self.sessions.forget(&identity.chat_subject());
            return Err(refusal.into());
        }
        let (entry, how) = minted?;
        Ok(Found { identity, entry, how })
    }
}
