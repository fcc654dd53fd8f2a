//! Whether two providers are one account at a chat system, and whether the users of one are kept apart from the users of
//! the other there (T-67).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::{self, ConfigError};
use crate::definition::Key;
use crate::provider::Provider;

/// What tells an account from others. Two providers with the same values are one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::provider) struct Account {
    /// The definition, where it does not say which settings name an account: then its own settings are compared, and with
    /// nothing else.
    pub(in crate::provider) definition: Option<String>,
    /// Plain settings with their values.
    pub(in crate::provider) plain: BTreeMap<String, Value>,
    /// Secrets, which are compared by their content.
    pub(in crate::provider) secrets: Vec<String>,
    /// Public parts of secrets: name, and place in the parts of a generation.
    pub(in crate::provider) parts: Vec<(String, usize)>,
}

impl Provider {
    /// Why a user of this provider could be a user of `other`; `None` where no user could, or where both mean the same
    /// people.
    fn mixes_with(&self, other: &Self) -> Option<String> {
        if !self.is_one_account_with(other) {
            return None;
        }
        let shown = |provider: &Self| match provider.compiled.user.prefix.as_str() {
            "" => "no prefix".to_owned(),
            prefix => format!("the prefix \"{prefix}\""),
        };
        let [own, others] = [self, other].map(|provider| {
            let prefix = &provider.compiled.user.prefix;
            if provider.compiled.user.folds { prefix.to_lowercase() } else { prefix.clone() }
        });
        // T-67: overlapping prefixes
        if own != others && (own.starts_with(&others) || others.starts_with(&own)) {
            return Some(format!(
                "user ids have {} here and {} in provider \"{}\", which is the same account: one begins the other, so a \
                 user here could be another one there; write prefixes of which none begins the other, or the same prefix \
                 in both if they mean the same people",
                shown(self),
                shown(other),
                other.access.name
            ));
        }
        let rule = |provider: &Self| (provider.compiled.user.unfit, provider.access.vault.current().user_key.is_some());
        // T-67: one rule an account
        (own == others && rule(self) != rule(other)).then(|| {
            format!(
                "provider \"{}\" is the same account with the same prefix, but user_unfit or user_key differs, so a user \
                 here could be another one there; write the same in both, or prefixes of which none begins the other",
                other.access.name
            )
        })
    }

    fn is_one_account_with(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|provider| provider.access.vault.current());
        self.compiled.account == other.compiled.account
            && self.compiled.account.secrets.iter().all(|name| own.has_same_secret(&others, name))
            && self.compiled.account.parts.iter().all(|(_, at)| own.parts.get(*at) == others.parts.get(*at))
    }

    /// Complains of providers whose users could be taken for users of others. `tables` is where they were configured.
    pub fn mixed_up(
        providers: &BTreeMap<String, Arc<Self>>,
        tables: &BTreeMap<String, config::Provider>,
    ) -> Vec<ConfigError> {
        let pairs = providers.iter().enumerate().flat_map(|(at, (name, one))| {
            providers.values().take(at).filter_map(move |other| {
                let key = Key::of("providers").below(name).below("user_prefix");
                Some(ConfigError::new(tables.get(name)?.origin.clone(), key, one.mixes_with(other)?))
            })
        });
        pairs.collect()
    }
}
