//! What templates may name, and what they did name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ProfileUse;
use super::slot::{
    FAILURE_NAMES, KEY_NAMES, NAMES, REFUSAL_NAMES, REQUEST_NAMES, RequestPart, SESSION_NAMES, SessionPart, Slot,
};
use crate::definition::Mistake;

/// Where a template stands, as far as that says what it may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::provider) enum TemplatePlace {
    /// Worked out for each mint.
    #[default]
    Mint,
    /// Fixed at load: settings only.
    Load,
    /// Fixed when secrets are read: settings, and public parts of secrets.
    Credentials,
    /// The text of a request signature.
    Signature,
    /// Steps that register or retire a key: settings and the key.
    Keys,
    /// A session in the form of a client: settings, the session, the profile and inputs.
    Client,
    /// A failure in the form of a client: settings and the failure.
    Failure,
    /// A call that is made for an application: settings, the time, the call and its parameters.
    Gateway,
    /// The refusal of such a call: settings and the refusal.
    Refusal,
}

/// What expressions may name, and what they did name.
#[derive(Debug, Default)]
pub(in crate::provider) struct Scope {
    /// Settings with a value.
    pub(in crate::provider) settings: BTreeMap<String, Value>,
    /// Settings that exist but have no value.
    pub(in crate::provider) unset: BTreeSet<String>,
    /// Settings whose value is a template itself.
    pub(in crate::provider) templates: BTreeSet<String>,
    /// Names of secret settings, for a message that says what to do instead.
    pub(in crate::provider) secrets: BTreeSet<String>,
    /// Settings that are public parts of secrets, by index.
    pub(in crate::provider) parts: Vec<String>,
    /// Values that earlier steps take, as `STEP.NAME`, by index.
    pub(in crate::provider) taken: Vec<String>,
    /// Parameters of a call for an application, by index.
    pub(in crate::provider) params: Vec<String>,
    /// Declared inputs, by index.
    pub(in crate::provider) inputs: Vec<String>,
    /// Values of `let` so far, by index.
    pub(in crate::provider) lets: Vec<String>,
    /// Further members of the session, by index.
    pub(in crate::provider) members: Vec<String>,
    /// Name of the item within an iteration.
    pub(in crate::provider) item: Option<String>,
    /// Where the template stands.
    pub(in crate::provider) place: TemplatePlace,
    /// Parts of the profile that were named.
    pub(in crate::provider) uses: ProfileUse,
    /// Inputs that were named.
    pub(in crate::provider) used_inputs: BTreeSet<String>,
    /// Inputs that are a whole segment of a path by themselves.
    pub(in crate::provider) segment_inputs: BTreeSet<String>,
    /// Whether something else is, such as the user id.
    pub(in crate::provider) segment_users: bool,
    /// Settings that were named.
    pub(in crate::provider) used_settings: BTreeSet<String>,
    /// Whether the body of the call was named.
    pub(in crate::provider) names_body: bool,
    /// What lifetimes were named in, in seconds: the largest unit.
    pub(in crate::provider) ttl_unit: u64,
}

impl Scope {
    /// Compiles something in another place.
    pub(in crate::provider) fn at<T>(&mut self, place: TemplatePlace, compile: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.place, place);
        let compiled = compile(self);
        self.place = before;
        compiled
    }

    /// The template that a setting holds, where the operator gives templates.
    pub(super) fn template(&mut self, expression: &str) -> Option<&str> {
        let name = expression.strip_prefix("config.")?;
        if !self.templates.contains(name) {
            return None;
        }
        self.used_settings.insert(name.to_owned());
        self.settings.get(name)?.as_str()
    }

    /// The value of `config.NAME`.
    pub(super) fn setting(&self, name: &str) -> Option<Value> {
        self.settings.get(name.strip_prefix("config.")?).cloned()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        let position = |list: &[String], wanted: &str| list.iter().position(|own| own == wanted);
        if self.item.as_deref() == Some(name) {
            return Some(Slot::Item);
        }
        if let Some(taken) = name.strip_prefix("step.") {
            return position(&self.taken, taken).map(Slot::Taken);
        }
        if let Some(input) = name.strip_prefix("input.") {
            return position(&self.inputs, input).map(Slot::Input);
        }
        if let Some(own) = name.strip_prefix("param.").filter(|_| self.place == TemplatePlace::Gateway) {
            return position(&self.params, own).map(Slot::Param);
        }
        if let Some(own) = name.strip_prefix("let.") {
            return position(&self.lets, own).map(Slot::Let);
        }
        let own = name.strip_prefix("session.").filter(|_| self.place == TemplatePlace::Client);
        if let Some(index) = own.and_then(|own| position(&self.members, own)) {
            return Some(Slot::Session(SessionPart::Member(index)));
        }
        NAMES.iter().chain(self.names_here()).find(|(own, _)| *own == name).map(|(_, slot)| *slot)
    }

    /// Names that only this place has.
    const fn names_here(&self) -> &'static [(&'static str, Slot)] {
        match self.place {
            TemplatePlace::Signature | TemplatePlace::Gateway => &REQUEST_NAMES,
            TemplatePlace::Refusal => &REFUSAL_NAMES,
            TemplatePlace::Keys => &KEY_NAMES,
            TemplatePlace::Client => &SESSION_NAMES,
            TemplatePlace::Failure => &FAILURE_NAMES,
            TemplatePlace::Mint | TemplatePlace::Load | TemplatePlace::Credentials => &[],
        }
    }

    /// Checks a name, notes its use, and says whether it varies.
    pub(super) fn admit(&mut self, name: &str) -> Result<Option<Slot>, Mistake> {
        // T-36: secrets in scope
        if let Some(secret) = name.strip_prefix("secret.").or_else(|| name.strip_prefix("config."))
            && self.secrets.contains(secret)
        {
            return Err(format!(
                "\"{name}\" is a secret and could reach a claim or an output; secrets enter by «auth» and «key» only"
            )
            .into());
        }
        if let Some(setting) = name.strip_prefix("config.") {
            return self.admit_setting(setting);
        }
        let Some(slot) = self.slot(name) else {
            return Err(self.unknown(name));
        };
        let (allowed, hint) = match self.place {
            TemplatePlace::Mint | TemplatePlace::Signature => (true, ""),
            TemplatePlace::Load => (false, "this place is fixed at load; use config.* only"),
            TemplatePlace::Credentials => (false, "this place is fixed when keys are read; use config.* only"),
            TemplatePlace::Keys => {
                let fits = matches!(slot, Slot::Key(_) | Slot::RandomUuid | Slot::RandomHex | Slot::Taken(_));
                (fits, "there is no user when keys are registered; use config.* and key.*")
            }
            TemplatePlace::Client => (
                slot.is_in_session(),
                "a client is told what the session says; use session.*, input.*, config.* and the profile, and put what else \
                 it needs into response.extra",
            ),
            TemplatePlace::Gateway => (
                slot.is_in_call(),
                "a call for an application has no user and no token; use config.*, now.*, random.*, request.* and param.*",
            ),
            // T-75: nothing of the request
            TemplatePlace::Failure | TemplatePlace::Refusal => (
                matches!(slot, Slot::Failure(_)),
                "nothing of a request is told with a failure; use config.* and error.*",
            ),
        };
        if !allowed {
            return Err(format!("\"{name}\" varies, and {hint}").into());
        }
        match slot {
            Slot::Name | Slot::DisplayName => self.uses.name = true,
            Slot::Email => self.uses.email = true,
            Slot::Avatar => self.uses.avatar = true,
            Slot::Groups => self.uses.groups = true,
            Slot::Roles => self.uses.roles = true,
            Slot::Input(index) => self.used_inputs.extend(self.inputs.get(index).cloned()),
            Slot::Request(RequestPart::Body) => self.names_body = true,
            Slot::Lifetime(unit) => self.ttl_unit = self.ttl_unit.max(unit.seconds()),
            _ => {}
        }
        Ok(Some(slot))
    }

    fn admit_setting(&mut self, setting: &str) -> Result<Option<Slot>, Mistake> {
        self.used_settings.insert(setting.to_owned());
        if let Some(index) = self.parts.iter().position(|own| own == setting) {
            if matches!(
                self.place,
                TemplatePlace::Load | TemplatePlace::Client | TemplatePlace::Failure | TemplatePlace::Refusal
            ) {
                let problem = "is part of a secret that may change, and this place is fixed before that is read";
                return Err(format!("\"config.{setting}\" {problem}").into());
            }
            return Ok(Some(Slot::Part(index)));
        }
        if self.settings.contains_key(setting) || self.unset.contains(setting) {
            return Ok(None);
        }
        let known: Vec<_> = self.settings.keys().chain(&self.unset).chain(&self.parts).map(String::as_str).collect();
        Err(format!("no setting \"{setting}\"; declared: {}", known.join(", ")).into())
    }

    fn unknown(&self, name: &str) -> Mistake {
        let declared = |room: &str, names: &[String]| names.iter().map(|own| format!("{room}.{own}")).collect();
        let members = if self.place == TemplatePlace::Client { &self.members[..] } else { &[] };
        let params = if self.place == TemplatePlace::Gateway { &self.params[..] } else { &[] };
        let own: [Vec<String>; 5] = [
            declared("param", params),
            declared("input", &self.inputs),
            declared("let", &self.lets),
            declared("step", &self.taken),
            declared("session", members),
        ];
        let fixed = self.names_here().iter().chain(&NAMES).map(|(own, _)| (*own).to_owned());
        let known: Vec<_> = fixed.chain(own.into_iter().flatten()).collect();
        format!("unknown variable \"{name}\"; known: config.*, {}", known.join(", ")).into()
    }
}
