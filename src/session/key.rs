//! What a session depends on, as one value.
//!
//! A [`SessionKey`] is the whole question: route, credentials, source, issuer, subject and its namespace, the parts of the
//! profile that the answer shows or the definition uses, and what the request adds. A mint takes nothing but
//! the key, so equal keys are equal sessions by construction, and nothing that is not in the key can leak into another
//! user's answer (T-32).

use std::borrow::Borrow;
use std::sync::Arc;

use crate::identity::{Identity, Roles};
use crate::provider::{Profile, ProfileUse};
use crate::secrets::Fingerprint;

/// Name of a route: the same in every process that serves it, wherever it stands in the configuration.
pub type RouteId = Fingerprint;

/// An owned key; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey(Arc<[u8]>);

/// Lets a cache be asked with bytes that are still on the stack of a request.
impl Borrow<[u8]> for SessionKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for SessionKey {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }
}

impl std::fmt::Debug for SessionKey {
    /// Keys hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey").field("bytes", &self.0.len()).finish()
    }
}

/// Length that stands for an absent value; present ones are shorter, because headers are.
const ABSENT: u16 = u16::MAX;

/// What an answer depends on beside route, user and request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depends<'p> {
    /// The provider's credentials that sessions belong to.
    pub(super) credentials: Fingerprint,
    /// Parts of the profile.
    pub(super) uses: ProfileUse,
    /// Which groups make which roles.
    pub(super) roles: &'p Roles,
}

/// Encodes the question that `identity` asks on a route with these inputs. Every field carries its length, and lists of
/// them their number, so different questions have different bytes.
pub(super) fn encode(
    route: RouteId,
    depends: Depends<'_>,
    identity: &Identity<'_>,
    inputs: &[Option<String>],
) -> Vec<u8> {
    let uses = depends.uses;
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice([route.0, depends.credentials.0].as_flattened());
    put_user(&mut bytes, identity);
    put(&mut bytes, if uses.name { identity.name() } else { None });
    put(&mut bytes, if uses.email { identity.email() } else { None }); // T-32: e-mail in the key
    put(&mut bytes, if uses.avatar { identity.avatar() } else { None });
    put_count(&mut bytes, inputs.len());
    for input in inputs {
        put(&mut bytes, input.as_deref()); // T-32: inputs in the key
    }
    if uses.roles || uses.groups {
        put_memberships(&mut bytes, depends, identity);
    }
    bytes
}

fn put_user(bytes: &mut Vec<u8>, identity: &Identity<'_>) {
    put(bytes, Some(identity.source()));
    put(bytes, identity.issuer());
    let namespace = identity.namespace();
    if namespace.is_empty() {
        bytes.push(0);
        put(bytes, Some(identity.subject())); // T-32, outages: subject in the key
    } else {
        // How much of the qualified subject is not the subject itself. Namespaces are short; configuration sees to it.
        bytes.push(u8::try_from(namespace.len() + 1).unwrap_or(u8::MAX));
        put(bytes, Some(&identity.chat_subject()));
    }
}

fn put_memberships(bytes: &mut Vec<u8>, depends: Depends<'_>, identity: &Identity<'_>) {
    let roles = if depends.uses.roles { depends.roles.of(identity) } else { Vec::new() };
    put_count(bytes, roles.len());
    for role in roles {
        put(bytes, Some(role));
    }
    if depends.uses.groups {
        for group in identity.groups() {
            put(bytes, Some(group));
        }
    }
}

/// Lists are short: definitions declare few inputs, and configuration few roles.
fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn put(bytes: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return bytes.extend_from_slice(&ABSENT.to_be_bytes()) };
    // Longer texts do not exist: header values and inputs are capped at 8 KiB. Were one to come, it would be cut at a character.
    let text = text.get(..text.floor_char_boundary(usize::from(ABSENT - 1))).unwrap_or_default();
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(ABSENT - 1).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A decoded key.
#[derive(Clone)]
pub struct Question<'k> {
    /// The route.
    pub route: RouteId,
    /// Credentials that the session belongs to.
    pub credentials: Fingerprint,
    /// Who asks, as far as it matters.
    pub profile: Profile<'k>,
    /// What the request adds.
    pub inputs: Vec<Option<&'k str>>,
}

impl std::fmt::Debug for Question<'_> {
    /// Questions hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("route", &self.route).finish_non_exhaustive()
    }
}

impl SessionKey {
    /// Reads the question back. `None` only for bytes that [`encode`] did not make.
    pub fn question(&self) -> Option<Question<'_>> {
        let mut rest = Reader(&self.0);
        let (route, credentials) = (Fingerprint(rest.array()?), Fingerprint(rest.array()?));
        let (source, issuer) = (rest.text()??, rest.text()?);
        let [lead] = rest.array()?;
        let chat_subject = rest.text()??;
        let subject = chat_subject.get(usize::from(lead)..)?;
        let qualified = (lead > 0).then_some(chat_subject);
        let (name, email, avatar) = (rest.text()?, rest.text()?, rest.text()?);
        let mut inputs = Vec::new();
        for _ in 0..u16::from_be_bytes(rest.array()?) {
            inputs.push(rest.text()?);
        }
        let (mut roles, mut groups) = (Vec::new(), Vec::new());
        if !rest.0.is_empty() {
            for _ in 0..u16::from_be_bytes(rest.array()?) {
                roles.push(rest.text()??);
            }
        }
        while !rest.0.is_empty() {
            groups.push(rest.text()??);
        }
        let profile = Profile { source, issuer, subject, qualified, name, email, avatar, groups, roles };
        Some(Question { route, credentials, profile, inputs })
    }

    /// Whose session it is: what chat user ids are made of, so the same for one person on every route. Empty only for
    /// bytes that [`encode`] did not make.
    pub(super) fn chat_subject(&self) -> &str {
        self.subject_field().unwrap_or_default()
    }

    fn subject_field(&self) -> Option<&str> {
        let mut rest = Reader(&self.0);
        let _route_and_credentials: [u8; 16] = rest.array()?;
        let (_source, _issuer) = (rest.text()?, rest.text()?);
        let _lead: [u8; 1] = rest.array()?;
        rest.text()?
    }

    /// Bytes of memory.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes; never so for a key made by [`encode`].
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct Reader<'k>(&'k [u8]);

impl<'k> Reader<'k> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The outer `None` is malformed, the inner one absent.
    fn text(&mut self) -> Option<Option<&'k str>> {
        let length = u16::from_be_bytes(self.array()?);
        if length == ABSENT {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ProfileUse = ProfileUse { name: true, email: true, avatar: true, groups: true, roles: true };

    fn encode(
        route: u8,
        credentials: u8,
        uses: ProfileUse,
        identity: &Identity<'_>,
        inputs: &[Option<String>],
    ) -> Vec<u8> {
        let (route, credentials) = (Fingerprint([route; 8]), Fingerprint([credentials; 8]));
        super::encode(route, Depends { credentials, uses, roles: &Roles::default() }, identity, inputs)
    }

    proptest::proptest! {
        /// What goes in comes out, and different questions have different keys.
        #[test]
        fn keys_are_injective(
            a in "[a-z]{1,3}",
            b in "[a-z]{1,3}",
            x in proptest::option::of("[a-zA-Z]{1,2}"),
            y in proptest::option::of("[a-zA-Z]{1,2}"),
            i in proptest::collection::vec(proptest::option::of("[a-c\u{0}\u{ff}]{0,2}"), 0..3),
            j in proptest::collection::vec(proptest::option::of("[a-c\u{0}\u{ff}]{0,2}"), 0..3),
        ) {
            let one = Identity::of_operator(&a, x.as_deref());
            let two = Identity::of_operator(&b, y.as_deref());
            if let (Ok(one), Ok(two)) = (one, two) {
                let (k, l) = (encode(1, 2, ALL, &one, &i), encode(1, 2, ALL, &two, &j));
                proptest::prop_assert_eq!(k == l, a == b && x == y && i == j);
                let key = SessionKey::from(k.as_slice());
                let question = key.question().expect("made by encode");
                proptest::prop_assert_eq!((question.route, question.credentials), (Fingerprint([1; 8]), Fingerprint([2; 8])));
                proptest::prop_assert_eq!(question.profile.subject, one.subject());
                proptest::prop_assert_eq!(key.chat_subject(), one.subject());
                proptest::prop_assert_eq!(question.profile.name, one.name());
                let inputs: Vec<Option<&str>> = i.iter().map(Option::as_deref).collect();
                proptest::prop_assert_eq!(question.inputs, inputs);
            }
        }

        #[test]
        fn garbage_is_no_question(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            // Must not panic; most garbage is refused.
            let _maybe = SessionKey::from(bytes.as_slice()).question();
        }
    }

    #[test]
    fn unused_parts_of_the_profile_do_not_matter() {
        let named = Identity::of_operator("alice", Some("Alice")).expect("an identity");
        let nameless = Identity::of_operator("alice", None).expect("an identity");
        let none = ProfileUse::default();
        let encode = |route, credentials, uses, identity| encode(route, credentials, uses, identity, &[]);
        assert_eq!(encode(0, 0, none, &named), encode(0, 0, none, &nameless));
        assert_ne!(encode(0, 0, ALL, &named), encode(0, 0, ALL, &nameless));
        assert_ne!(encode(0, 0, none, &named), encode(1, 0, none, &named));
        assert_ne!(encode(0, 0, none, &named), encode(0, 1, none, &named));
    }

    /// T-32: a token for one room is never the answer to a request for another.
    #[test]
    fn different_inputs_are_different_questions() {
        let alice = Identity::of_operator("alice", None).expect("an identity");
        let given = |inputs: &[Option<&str>]| {
            let inputs: Vec<Option<String>> = inputs.iter().map(|input| input.map(str::to_owned)).collect();
            encode(0, 0, ALL, &alice, &inputs)
        };
        let keys = [
            given(&[]),
            given(&[None]),
            given(&[Some("")]),
            given(&[Some("a")]),
            given(&[Some("b")]),
            given(&[None, Some("a")]),
            given(&[Some("a"), None]),
            given(&[Some("a"), Some("b")]),
            given(&[Some("ab"), Some("")]),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|other| other != key), "{n}");
        }
        let longest = "x".repeat(8 * 1024);
        let key = SessionKey::from(given(&[Some(&longest)]).as_slice());
        assert_eq!(key.question().expect("a question").inputs, [Some(longest.as_str())]);
    }
}
