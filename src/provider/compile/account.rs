//! What a definition says of the account: settings, users, lifetimes, limits, inputs.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;

use super::Compiler;
use crate::definition::{Count, Key, settings_in, whole};
use crate::pacing::{Limiter, Rate};
use crate::provider::calls::access::CallLimits;
use crate::provider::client::allow_list::AllowList;
use crate::provider::client::inputs::Inputs;
use crate::provider::credentials::{PartKind, PartRule};
use crate::provider::definition::settings::USER_KEY;
use crate::provider::definition::{Case, Encoding, OnCredentialChange, Sessions, Setting, SettingKind};
use crate::provider::keys::material::Cut;
use crate::provider::mint::lifetime::Lifetime;
use crate::provider::user::UserRule;
use crate::provider::user::account::Account;

/// Calls that wait for their turn, where a definition with a rate does not say.
pub(super) const QUEUE: usize = 64;
/// Longest wait for a turn: what a person waits for a page. The request's own deadline may be shorter.
pub(super) const LONGEST_TURN: Duration = Duration::from_secs(5);

impl Compiler<'_> {
    /// Settings that are public parts of secrets.
    pub(super) fn parts(&mut self) {
        for (name, setting) in &self.definition.settings {
            if setting.part_of.is_some() && !self.scope.parts.contains(name) {
                continue;
            }
            if name == USER_KEY {
                self.refuse(Key::of("settings").below(name), "is the key of user ids, which every provider may have");
            }
            let Some(part) = &setting.part_of else { continue };
            let place = Key::of("settings").below(name).below("part_of");
            if setting.secret {
                self.refuse(&place, "makes a part of a secret public, so it cannot be secret itself");
            }
            if part.decode != Encoding::Text || part.min_bytes.is_some() {
                self.refuse(&place, "is text and no key; remove decode and min_bytes");
            }
            self.secret(&place, &part.secret);
            let kind = match (part.public, self.cut(&place, part)) {
                (Some(form), _) => PartKind::Public(form),
                (None, Some(Cut::Whole)) => {
                    self.refuse(&place, "would make the whole secret public; write before, after, json or field");
                    continue;
                }
                (None, Some(cut)) => PartKind::Cut(cut),
                (None, None) => continue,
            };
            self.needs.parts.push(PartRule { name: name.clone(), secret: part.secret.clone(), kind });
        }
    }

    pub(super) fn lifetime(&self, sessions: Sessions<'_>) -> Lifetime {
        let raw = sessions.lifetime;
        Lifetime {
            default: raw.default.0,
            minimum: raw.minimum.map(|span| span.0),
            maximum: raw.maximum.map(|span| span.0),
            margin: self.table.client_margin.unwrap_or(raw.margin.0),
            drop_on_credential_change: raw.on_credential_change == OnCredentialChange::Drop,
            shorten: raw.shorten,
            unit: Duration::from_secs(1),
        }
    }

    /// What names the account: the settings that the definition lists. Where it lists none, whatever text it uses apart
    /// from the answer, and its secrets; but not a private key, of which an account may have several.
    pub(super) fn account(&mut self) -> Account {
        let settings = &self.definition.settings;
        let listed = &self.definition.user.account;
        for name in listed.iter().filter(|name| !settings.contains_key(*name)) {
            self.mistakes.refuse("user.account", format!("\"{name}\" is not a setting"));
        }
        let private = self.needs.key.as_ref().filter(|rule| !rule.signer.alg.is_hmac()).map(|rule| &rule.signer.secret);
        let names_it = |(name, setting): &(&String, &Setting)| {
            let text = matches!(setting.kind, SettingKind::Text | SettingKind::Url);
            let used = setting.secret || self.scope.used_settings.contains(*name);
            if listed.is_empty() { text && used && Some(*name) != private } else { listed.contains(*name) }
        };
        let mut account =
            Account { definition: listed.is_empty().then(|| self.definition.name.clone()), ..Account::default() };
        for (name, setting) in settings.iter().filter(names_it) {
            if setting.secret {
                account.secrets.push(name.clone());
            } else if let Some(at) = self.needs.parts.iter().position(|part| part.name == *name) {
                account.parts.push((name.clone(), at));
            } else {
                let value = self.scope.settings.get(name).cloned().unwrap_or_default();
                account.plain.insert(name.clone(), value);
            }
        }
        account
    }

    pub(super) fn user(&mut self) -> UserRule {
        let raw = &self.definition.user;
        if raw.case.is_none() {
            self.refuse(
                "user.case",
                "is missing; write case = \"counts\" if the provider takes Bob and bob for two users, or case = \"folds\" if \
                 it takes them for one, or if that is not known",
            );
        }
        let mut affix = |place: &str, text: &str| self.constant(&place.into(), text).flatten().unwrap_or_default();
        let (prefix, suffix) = (affix("user.prefix", &raw.prefix), affix("user.suffix", &raw.suffix));
        let pattern = raw
            .pattern
            .as_deref()
            .and_then(|text| self.mistakes.note(whole(text).map_err(|mistake| mistake.within("user.pattern"))));
        UserRule {
            prefix: prefix + &self.table.user_prefix,
            suffix,
            pattern,
            max_bytes: raw.max_bytes.map(Count::size),
            unfit: self.table.user_unfit,
            // Known when all steps are.
            in_path: false,
            folds: raw.case == Some(Case::Folds),
        }
    }

    pub(super) fn limits(&mut self) -> CallLimits {
        let raw = &self.definition.limits;
        let mut headers = Vec::new();
        for name in &raw.retry_headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => headers.push(name),
                Err(_) => self.refuse("limits.retry_headers", format!("\"{name}\" is not a header name")),
            }
        }
        let (place, text) = match (&self.table.rate, &raw.rate) {
            (Some(own), _) => ("rate", own),
            (None, Some(text)) => ("limits.rate", text),
            (None, None) => return CallLimits { limiter: None, retry_headers: headers },
        };
        let limiter = match text.parse::<Rate>() {
            Ok(rate) => {
                let burst = raw.burst.and_then(|burst| u32::try_from(burst.0).ok());
                let queue = raw.queue.map_or(QUEUE, Count::size);
                let limiter = Limiter::new(rate, burst, queue, LONGEST_TURN);
                Some(limiter.counted(self.metrics.provider.limiter_refused(self.name)))
            }
            Err(problem) => {
                self.refuse(place, problem);
                None
            }
        };
        CallLimits { limiter, retry_headers: headers }
    }

    /// Which values of inputs the operator allows.
    pub(super) fn allow_lists(&mut self) -> Vec<AllowList> {
        let mut lists = Vec::new();
        for (index, (name, input)) in self.definition.inputs.iter().enumerate() {
            let Some(setting) = &input.allow else { continue };
            if !self.definition.settings.get(setting).is_some_and(|setting| setting.kind == SettingKind::List) {
                self.refuse(
                    Key::of("inputs").below(name).below("allow"),
                    format!("\"{setting}\" is not a setting of kind list"),
                );
                continue;
            }
            self.scope.used_settings.insert(setting.clone());
            let list = self.scope.settings.get(setting).cloned();
            let outcome = AllowList::compile(index, list.as_ref(), &Key::of(setting), &mut self.scope);
            lists.extend(self.mistakes.note(outcome));
        }
        lists
    }

    /// The inputs that templates use. An input that reaches nothing is not taken from requests.
    pub(super) fn inputs(&mut self) -> Option<Inputs> {
        let inputs = self.mistakes.note(Inputs::compile(&self.definition.inputs, &self.scope.used_inputs))?;
        Some(inputs.in_path(&self.scope.segment_inputs))
    }

    /// A setting that nothing uses is a mistake in the definition: the operator would look after it for nothing.
    /// Where keys are not registered, the settings for that are not looked at.
    pub(super) fn unused_settings(&mut self, registers: bool) {
        if !self.mistakes.is_empty() {
            return;
        }
        let optional: BTreeSet<&str> =
            self.definition.keys.iter().flat_map(|keys| &keys.needs).map(String::as_str).collect();
        let secrets: BTreeSet<&str> = self.needs.used().chain(optional.iter().copied()).collect();
        let defaults = self.definition.settings.values().filter_map(|setting| setting.default.as_ref());
        let by_defaults: BTreeSet<String> = defaults.flat_map(settings_in).collect();
        let parts = self.definition.settings.values().filter_map(|setting| setting.part_of.as_ref());
        let by_parts: BTreeSet<&str> = parts.map(|part| part.secret.as_str()).collect();
        let elsewhere = self.named_elsewhere();
        let mut unused = Vec::new();
        for (name, setting) in self.definition.settings.iter().filter(|(name, _)| !elsewhere.contains(*name)) {
            if setting.secret && !secrets.contains(name.as_str()) {
                let hint = if by_parts.contains(name.as_str()) { ", only parts of it" } else { "" };
                unused.push((name, format!("is a secret that no auth and no key uses{hint}")));
            }
            let used = self.scope.used_settings.contains(name) || by_defaults.contains(name);
            if registers && !setting.secret && !used {
                unused.push((name, "is a setting that nothing uses".to_owned()));
            }
        }
        for (name, problem) in unused {
            self.refuse(Key::of("settings").below(name), problem);
        }
    }
}
