//! `[gateway]`: where calls go, what every one of them carries, and how it proves who is calling. Which calls there are is
//! for the gateway itself.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;
use url::Url;

use super::Compiler;
use super::account::{LONGEST_TURN, QUEUE};
use crate::definition::{Key, Mistake, each_text, named_in};
use crate::pacing::{Limiter, Rate};
use crate::provider::calls::auth::StepAuth;
use crate::provider::calls::gateway::{Group, Rules, Set};
use crate::provider::calls::virtual_key::VirtualScheme;
use crate::provider::definition::gateway::{AsUserRule, BodyType, Calls, Forbidden, Gateway, IdKind};
use crate::provider::definition::{Auth, Definition, OneOrMany, settings};
use crate::provider::template::TemplatePlace;
use crate::provider::template::json::JsonTemplate;
use crate::provider::template::text::{TextTemplate, UrlTemplate};
use crate::provider::user::UserRule;

/// Settings that calls for an application use, of those that `definition` declares.
pub(super) fn settings_of(definition: &Definition) -> BTreeSet<String> {
    let Some(section) = &definition.gateway else { return BTreeSet::new() };
    let mut names = section.names(definition.auth.as_ref());
    let user = [&definition.user.prefix, &definition.user.suffix];
    names.extend(user.into_iter().flat_map(|text| named_in("config.", text)));
    settings::widen(definition, &mut names);
    names
}

impl Compiler<'_> {
    /// The gateway's half. `user` is how the other half maps users, where there is one.
    pub(super) fn gateway(&mut self, user: Option<&UserRule>) -> Option<Rules> {
        let Some(section) = &self.definition.gateway else {
            let problem = format!("\"{}\" makes no calls; its definition has no [gateway]", self.definition.name);
            self.refuse("preset", problem);
            return None;
        };
        let filled = section.filled(&self.table.gateway, &self.scope.settings, &self.definition.settings);
        let mut section = self.mistakes.note(filled)?;
        if section.calls.is_empty() {
            self.refuse("gateway.calls", "has no calls; write [[gateway.calls]]");
        }
        self.check_needs(&section);
        let base = self.base(&section);
        let before = std::mem::replace(&mut self.scope.place, TemplatePlace::Gateway);
        self.scope.names_body = false;
        let set = self.set(&section);
        let groups: Vec<Group> =
            section.calls.iter().enumerate().map(|(n, calls)| self.group(n, calls, &section)).collect();
        self.scope.params.clear();
        let virtual_key = self.virtual_key(&section, &groups);
        self.scope.place = TemplatePlace::Refusal;
        let error = section.error.as_ref().and_then(|error| {
            let outcome = JsonTemplate::compile_object(error, &"gateway.error".into(), &mut self.scope);
            self.mistakes.note(outcome)
        });
        self.scope.place = before;
        let needs_body = self.scope.names_body
            || groups.iter().flat_map(|group| &group.auth).any(|auth| matches!(auth, StepAuth::Member { .. }));
        self.check_bodies(&section, needs_body);
        self.write_auth(&mut section);
        let limiter = self.own_limiter(&section);
        let user = self.user_of_calls(&section, user);
        let open = base.clone().and_then(|url| UrlTemplate::Fixed(url).open_host());
        let cautions = open.map(|host| format!("secrets go to {host} without encryption; write https://"));
        Some(Rules {
            base: base?,
            set,
            groups,
            error,
            limiter,
            user,
            virtual_key: virtual_key?,
            needs_body,
            calls_alone: false,
            cautions: cautions.into_iter().collect(),
            section,
        })
    }

    /// Where an SDK puts its key: `auth` read backwards.
    fn virtual_key(&mut self, section: &Gateway, groups: &[Group]) -> Option<VirtualScheme> {
        let written = section.auth.as_ref().or(self.definition.auth.as_ref()).map_or(&[][..], OneOrMany::as_slice);
        let auths = groups.first().map(|group| group.auth.as_slice()).unwrap_or_default();
        // A proof that is none is told of there.
        if auths.len() != written.len() {
            return None;
        }
        let outcome = VirtualScheme::of(section, written, auths, &self.needs);
        self.mistakes.note(outcome.map_err(|mistakes| mistakes.within("gateway")))
    }

    /// Puts the proof that counts into the section, with the names of headers and of users. What it is a member of is for no
    /// caller to write.
    fn write_auth(&mut self, section: &mut Gateway) {
        let mut auths = section.auth.take().or_else(|| self.definition.auth.clone()).unwrap_or_default();
        for auth in &mut auths.0 {
            let (header, user) = match auth {
                Auth::Header { header, .. } => (Some(header), None),
                Auth::Jwt { header, .. } | Auth::Signature { header, .. } => (header.as_mut(), None),
                Auth::Basic { user, .. } => (None, user.as_mut()),
                Auth::Bearer { .. } => (None, None),
                Auth::Member { member, .. } => {
                    let pointer = format!("/{}", member.replace('~', "~0").replace('/', "~1"));
                    let own = Forbidden { json: vec![pointer], form: vec![member.clone()], ..Forbidden::default() };
                    section.calls.iter_mut().for_each(|calls| calls.forbid.push(own.clone()));
                    (None, None)
                }
            };
            for text in header.into_iter().chain(user) {
                // A mistake in it was told when it was compiled.
                let compiled =
                    self.scope.at(TemplatePlace::Load, |scope| TextTemplate::compile(text, &Key::default(), scope));
                if let Some(Some(constant)) = compiled.as_ref().ok().and_then(TextTemplate::constant) {
                    constant.clone_into(text);
                }
            }
        }
        section.auth = Some(auths);
    }

    /// The address that paths are added to. Its host is fixed before anything is sent: no request chooses where a secret
    /// goes (G-01).
    fn base(&mut self, section: &Gateway) -> Option<Url> {
        let text = format!("{}/", section.base.trim_end_matches('/'));
        let place = Key::from("gateway.base");
        // G-01: fixed host
        let outcome = self.scope.at(TemplatePlace::Load, |scope| UrlTemplate::compile(&text, &place, scope));
        match self.mistakes.note(outcome)? {
            UrlTemplate::Fixed(url) => Some(url),
            UrlTemplate::Varying(_) => {
                self.refuse(place, "has no value");
                None
            }
        }
    }

    /// Settings that calls need must have a value, whatever else asks for them.
    fn check_needs(&mut self, section: &Gateway) {
        let auth = section.auth.as_ref().or(self.definition.auth.as_ref()).map_or(&[][..], OneOrMany::as_slice);
        let secrets = auth.iter().flat_map(Auth::secrets).filter(|name| self.definition.settings.contains_key(*name));
        let needs: BTreeSet<&str> = section.needs.iter().map(String::as_str).chain(secrets).collect();
        for name in needs {
            let Some(setting) = self.definition.settings.get(name) else {
                self.refuse("gateway.needs", format!("\"{name}\" is not a setting"));
                continue;
            };
            let given = self.scope.settings.contains_key(name) || self.needs.sources.contains_key(name);
            if !given && setting.part_of.is_none() {
                let (key, problem) = settings::missing(self.definition, name, "its gateway needs it");
                self.refuse(key, problem);
            }
        }
    }

    fn set(&mut self, section: &Gateway) -> Set {
        let place = Key::from("gateway.set");
        let query = self.texts(&place.below("query"), &section.set.query);
        let headers = self.header_texts(&place.below("headers"), &section.set.headers);
        Set { query, headers }
    }

    /// Headers by name.
    fn header_texts(&mut self, place: &Key, texts: &BTreeMap<String, String>) -> Vec<(HeaderName, TextTemplate)> {
        let mut compiled = Vec::new();
        for (name, template) in self.texts(place, texts) {
            compiled.extend(self.header_name(place, &name).map(|name| (name, template)));
        }
        compiled
    }

    fn group(&mut self, n: usize, calls: &Calls, section: &Gateway) -> Group {
        let place = Key::from("gateway.calls").item(n);
        self.check_claims(&place, calls, section);
        let entries = calls.entries(section).filter_map(Result::ok);
        let in_paths: Vec<String> = entries.flat_map(|entry| parameters_in(&entry.path)).collect();
        let known: BTreeSet<String> = calls.params.keys().cloned().chain(in_paths).collect();
        self.scope.params = known.into_iter().collect();
        let (own, at) = match &section.auth {
            Some(own) => (Some(own), Key::of("gateway")),
            None => (self.definition.auth.as_ref(), Key::default()),
        };
        let mut auths = own.map_or(&[][..], OneOrMany::as_slice).to_vec();
        let mut has_jwt = false;
        for auth in &mut auths {
            let Auth::Jwt { jwt, .. } = auth else { continue };
            has_jwt = true;
            for (name, claim) in &calls.claims {
                if jwt.claims.insert(name.clone(), claim.clone()).is_some() {
                    self.refuse(place.below("claims").below(name), "is a claim of auth already; remove it");
                }
            }
        }
        if !has_jwt && !calls.claims.is_empty() {
            self.refuse(place.below("claims"), "stand in no JWT: auth makes none");
        }
        let auth = self.auths(&at, Some(&OneOrMany(auths)));
        Group { auth, params: std::mem::take(&mut self.scope.params) }
    }

    /// A claim that names a parameter is about every call of its group, so each of them has it, once.
    fn check_claims(&mut self, place: &Key, calls: &Calls, section: &Gateway) {
        let mut named = BTreeSet::new();
        for claim in calls.claims.values() {
            named.extend(parameters_named(claim));
        }
        for name in &named {
            let selector = calls.params.get(name);
            let several = |pointer: &String| pointer.split('/').any(|part| matches!(part, "*" | "[]"));
            if selector.is_some_and(|selector| selector.json.iter().any(several)) {
                let problem = format!("names param.{name}, which has several values where a pointer holds * or []");
                self.refuse(place.below("claims"), problem);
            }
            let entries: Vec<_> = calls.entries(section).filter_map(Result::ok).collect();
            for entry in entries {
                if selector.is_none() && !parameters_in(&entry.path).contains(name) {
                    let problem = format!("names param.{name}, and {} has no such parameter", entry.name);
                    self.refuse(place.below("claims"), problem);
                }
            }
        }
    }

    /// What is made of a body must be able to read it.
    fn check_bodies(&mut self, section: &Gateway, needs_body: bool) {
        if !needs_body {
            return;
        }
        for (n, calls) in section.calls.iter().enumerate() {
            if calls.types(section).iter().any(|own| matches!(own, BodyType::Protobuf | BodyType::Any)) {
                let place = Key::from("gateway.calls").item(n).below("types");
                self.refuse(
                    place,
                    "allows a body that is no text, and auth or set names request.body; write json or form",
                );
            }
        }
    }

    fn own_limiter(&mut self, section: &Gateway) -> Option<Limiter> {
        let limits = section.limits.as_ref()?;
        let rate = limits.rate.parse::<Rate>().map_err(|problem| Mistake::new("gateway.limits.rate", problem));
        let burst = limits.burst.and_then(|burst| u32::try_from(burst.0).ok());
        self.mistakes.note(rate).map(|rate| Limiter::new(rate, burst, QUEUE, LONGEST_TURN))
    }

    /// How users of the application are called at the provider: as in tokens.
    fn user_of_calls(&mut self, section: &Gateway, user: Option<&UserRule>) -> Option<UserRule> {
        let is_mapped = section.as_user.as_ref().is_some_and(|own| own.id == IdKind::Host);
        let is_used = section.calls.iter().any(|calls| calls.as_user != AsUserRule::Forbidden);
        if is_used && section.as_user.is_none() {
            self.refuse("gateway.as_user", "is missing; it says where the user of a call is put");
        }
        (is_mapped && is_used).then(|| user.cloned().unwrap_or_else(|| self.user()))
    }
}

/// Parameters in a path: `{NAME}`.
fn parameters_in(path: &str) -> Vec<String> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
    names.filter(|name| !name.starts_with('=')).map(str::to_owned).collect()
}

/// Parameters that a claim names.
fn parameters_named(claim: &serde_json::Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_text(claim, &Key::default(), &mut |_, text| names.extend(named_in("param.", text)));
    names
}
