//! What users are called in our own lists: as the tier calls them where there is one, so that what it tells of a user is
//! found without a look at all others.

use std::borrow::Cow;
use std::sync::Arc;

use crate::shared::Shared;

/// Without teams there is one, and it has no name.
pub(in crate::session) const NO_TEAM: &str = "";

/// Names of users; by default the chat subject itself.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct UserNames(Option<Arc<Shared>>);

impl UserNames {
    /// Names as the tier has them, if there is one.
    pub(in crate::session) fn new(shared: Option<&Arc<Shared>>) -> Self {
        Self(shared.cloned())
    }

    /// Whether they are those of a tier.
    pub(in crate::session) fn are_shared(&self) -> bool {
        self.0.is_some()
    }

    /// What the user with this chat subject is called.
    pub(in crate::session) fn of<'s>(&self, chat_subject: &'s str) -> Cow<'s, str> {
        match &self.0 {
            None => Cow::Borrowed(chat_subject),
            Some(shared) => Cow::Owned(shared.names().user(NO_TEAM, chat_subject).as_str().to_owned()),
        }
    }
}
