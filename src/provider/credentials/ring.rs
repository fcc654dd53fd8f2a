//! The keys of tokens over time: one signs, the others are published, and one that was taken away stays published until
//! the last token that it may have signed has ended.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Signer;
use crate::clock::{Moment, Timestamp};
use crate::definition::Mistake;
use crate::provider::keys::Alg;
use crate::secrets::Secret;

/// How long a key is published before it signs: the age that `/.well-known/jwks.json` allows (300 s) and time for this
/// process and its replicas to find the file. A verifier that keeps the set as long as it may never meets an unknown id.
pub(in crate::provider) const ANNOUNCE: Duration = Duration::from_secs(360);
/// Difference between clocks that verifiers usually allow: that long a token may outlive its end.
const LEEWAY: Duration = Duration::from_secs(60);

/// A key as it was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What people call it: the key id, or the name of its file.
    pub(super) id: String,
    pub(super) signer: Arc<Signer>,
    /// Tells a key from another with the same name.
    pub(super) secret: Secret,
    /// When its file was written.
    pub(super) written: Option<Timestamp>,
}

/// Where keys are found, and what that means for those that are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A folder, where keys come and go by themselves; else one file or variable, whose key replaces the one before.
    pub(super) folder: bool,
    /// Whether the provider verifies with keys that were registered there, not with those that are published here.
    pub(super) registered: bool,
    /// The longest life of a token.
    pub(super) longest: Duration,
}

/// A key, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// Key id.
    pub kid: String,
    /// Algorithm.
    pub alg: Alg,
    /// When its file was written; when it was first seen, where there is no file.
    #[serde(skip)]
    pub since: Timestamp,
    /// The age of that.
    pub age_seconds: u64,
    /// Whether new tokens are signed with it.
    pub signs: bool,
    /// When it is published no more, where its file is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Member {
    found: Found,
    seen: Moment,
    /// Signs from here on, unless it is named.
    may_sign: Moment,
    /// Whether tokens that it signed may be alive.
    used: bool,
    /// Set when its file is gone.
    until: Option<Moment>,
}

/// All keys that matter now, by id.
#[derive(Debug, Default)]
pub(super) struct Ring {
    members: Vec<Member>,
    signs: Option<String>,
}

impl Ring {
    /// The keys of the start. Any of them may have signed in an earlier run, and may sign at once.
    pub(super) fn open(found: Vec<Found>, now: Moment) -> Self {
        let member = |found| Member { found, seen: now, may_sign: now, used: true, until: None };
        let mut ring = Self { members: found.into_iter().map(member).collect(), signs: None };
        ring.sort();
        ring
    }

    fn sort(&mut self) {
        self.members.sort_by(|one, other| one.found.id.cmp(&other.found.id));
    }

    /// Takes over what was found now. Says whether sessions have lost their key: it is gone, and what verifies them
    /// may not accept it any more.
    pub(super) fn update(&mut self, found: Vec<Found>, rules: Rules, now: Moment) -> Result<bool, Mistake> {
        self.members.retain(|member| member.until.is_none_or(|until| until > now));
        let same = |member: &Member, key: &Found| member.found.id == key.id && member.found.secret.same_as(&key.secret);
        if rules.folder {
            let renamed = |key: &&Found| self.members.iter().any(|own| own.found.id == key.id && !same(own, key));
            // T-58: renamed key
            if let Some(key) = found.iter().find(renamed) {
                return Err(format!(
                    "holds another key than before under the name {}, and verifiers would take one for the other; give \
                     each key a name of its own",
                    key.id
                )
                .into());
            }
        }
        let mut lost = false;
        self.members.retain_mut(|member| {
            if member.until.is_some() || found.iter().any(|key| same(member, key)) {
                return true;
            }
            lost |= member.used && (!rules.folder || rules.registered || member.found.signer.jwk().is_none());
            member.until = Some(now.plus(rules.longest.saturating_add(LEEWAY)));
            member.used && member.found.signer.jwk().is_some()
        });
        for key in found {
            if let Some(member) = self.members.iter_mut().find(|member| same(member, &key)) {
                (member.found, member.until) = (key, None);
            } else {
                let may_sign = if rules.folder { now.plus(ANNOUNCE) } else { now };
                self.members.push(Member { found: key, seen: now, may_sign, used: false, until: None });
            }
        }
        self.sort();
        Ok(lost)
    }

    /// The key that signs now: the one that is named, else the last by name of those that were announced long enough.
    /// Where none was (all others are gone), the last one: an unknown id is better than no token.
    pub(super) fn choose(&mut self, named: Option<&str>, now: Moment) -> Option<Arc<Signer>> {
        let present = || self.members.iter().enumerate().rev().filter(|(_, member)| member.until.is_none());
        let chosen = match named {
            Some(name) => present().find(|(_, member)| member.found.id == name),
            None => present().find(|(_, member)| member.may_sign <= now),
        };
        let (index, _) = chosen.or_else(|| present().next())?;
        let member = self.members.get_mut(index)?;
        member.used = true;
        self.signs = Some(member.found.id.clone());
        Some(Arc::clone(&member.found.signer))
    }

    /// Name of the key that signs.
    pub(super) fn signs(&self) -> Option<&str> {
        self.signs.as_deref()
    }

    fn signs_with(&self, member: &Member) -> bool {
        member.until.is_none() && self.signs.as_ref() == Some(&member.found.id)
    }

    /// Those that are still published, the one that signs first, then the newest.
    fn current(&self, now: Moment) -> impl Iterator<Item = &Member> {
        let live = move |member: &&Member| member.until.is_none_or(|until| until > now);
        let (signs, rest): (Vec<_>, Vec<_>) =
            self.members.iter().rev().filter(live).partition(|member| self.signs_with(member));
        signs.into_iter().chain(rest)
    }

    /// Public keys as JWKs.
    pub(super) fn jwks(&self, now: Moment) -> Vec<Value> {
        self.current(now).filter_map(|member| member.found.signer.jwk()).collect()
    }

    /// The keys, as people may see them: `time` is what the wall clock says now.
    pub(super) fn status(&self, now: Moment, time: Timestamp) -> Vec<KeyStatus> {
        let status = |member: &Member| {
            let since = member.found.written.unwrap_or_else(|| time.minus(now.since(member.seen)));
            KeyStatus {
                kid: member.found.id.clone(),
                alg: member.found.signer.key.alg(),
                since,
                age_seconds: time.since(since).as_secs(),
                signs: self.signs_with(member),
                published_until: member.until.map(|until| time.plus(until.since(now))),
            }
        };
        self.current(now).map(status).collect()
    }

    /// The key of this name whose file is there.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Signer>> {
        let own = self.members.iter().find(|member| member.until.is_none() && member.found.id == name)?;
        Some(Arc::clone(&own.found.signer))
    }
}
