//! The ambiguity rules on whole header sets.

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::identity::user::profile::HeaderLines;
use crate::identity::user::{Reading, namespace};
use crate::identity::{Identity, Peer, Refusal, Resolver, definition};

fn resolver(source: &str) -> Resolver {
    Resolver::for_test(source, definition::compile(source, None).expect("compiles"), "127.0.0.0/8")
}

fn evidence<'r>(resolver: &Resolver, from: &str, headers: &'r HeaderMap) -> Evidence<'r> {
    let connection = resolver.peers().assess(Peer::tcp(from.parse().expect("address")), &[]);
    Evidence { connection, method: &Method::GET, target: "/", headers, body: None, relayed: None }
}

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
        map.append(name, HeaderValue::from_bytes(value).expect("value"));
    }
    map
}

fn judge(source: &str, lines: &[(&str, &[u8])]) -> Result<String, Refusal> {
    let resolver = resolver(source);
    let headers = headers(lines);
    resolver.resolve(&evidence(&resolver, "127.0.0.1", &headers)).map(|identity| identity.subject().to_owned())
}

#[test]
fn a_proven_peer_names_the_user() {
    let resolver = resolver("plain");
    let headers = headers(&[
        ("X-Forwarded-User", b"alice"),
        ("X-Forwarded-Name", "Älice  Doe".as_bytes()),
        ("X-Forwarded-Email", b"alice@example.org"),
        ("X-Forwarded-Groups", b"staff, admins,,"),
    ]);
    let identity = resolver.resolve(&evidence(&resolver, "127.0.0.1", &headers)).expect("an identity");
    assert_eq!(identity.source(), "plain");
    assert_eq!(identity.subject(), "alice");
    assert_eq!(identity.name(), Some("Älice Doe"));
    assert_eq!(identity.email(), Some("alice@example.org"));
    assert_eq!(identity.groups().collect::<Vec<_>>(), ["staff", "admins"]);
}

#[test]
fn without_source_or_proof_there_is_no_identity() {
    let lines = headers(&[("X-Forwarded-User", b"alice")]);
    let (none, plain) = (Resolver::default(), resolver("plain"));
    assert_eq!(none.resolve(&evidence(&none, "127.0.0.1", &lines)).err(), Some(Refusal::NoSource));
    assert_eq!(plain.resolve(&evidence(&plain, "192.0.2.1", &lines)).err(), Some(Refusal::PeerUntrusted));
}

#[test]
fn duplicates_are_refused_even_when_equal() {
    for lines in [
        &[("X-Forwarded-User", &b"alice"[..]), ("X-Forwarded-User", b"bob")],
        &[("X-Forwarded-User", &b"alice"[..]), ("x-forwarded-user", b"alice")],
    ] {
        assert_eq!(judge("plain", lines), Err(Refusal::Duplicate));
    }
    let email_twice: &[(&str, &[u8])] =
        &[("X-Forwarded-User", b"alice"), ("X-Forwarded-Email", b"a@b"), ("X-Forwarded-Email", b"c@d")];
    assert_eq!(judge("plain", email_twice), Err(Refusal::Duplicate));
    assert_eq!(judge("plain", &[("X-Forwarded-User", b"alice, mallory")]), Err(Refusal::Duplicate));
}

#[test]
fn aliases_are_refused_with_and_without_the_real_header() {
    for alias in
        ["Remote_User", "REMOTE_USER", "Remote-user_", "remote.user", "Remote_Email", "remote.groups", "_remote_name"]
    {
        assert_eq!(judge("authelia", &[(alias, b"mallory")]), Err(Refusal::Alias), "{alias}");
        assert_eq!(
            judge("authelia", &[("Remote-User", b"alice"), (alias, b"mallory")]),
            Err(Refusal::Alias),
            "{alias}"
        );
    }
    let harmless: &[(&str, &[u8])] = &[("Remote-User", b"alice"), ("x_request_id", b"1"), ("remote_users", b"x")];
    assert_eq!(judge("authelia", harmless).as_deref(), Ok("alice"));
}

#[test]
fn headers_listed_in_connection_are_refused() {
    for value in
        ["X-Forwarded-User", "close, x-forwarded-user", "keep-alive ,X-FORWARDED-EMAIL", "x-forwarded-groups,close"]
    {
        let lines: &[(&str, &[u8])] = &[("X-Forwarded-User", b"alice"), ("Connection", value.as_bytes())];
        assert_eq!(judge("plain", lines), Err(Refusal::ListedInConnection), "{value}");
    }
    let second_line: &[(&str, &[u8])] =
        &[("X-Forwarded-User", b"alice"), ("Connection", b"close"), ("Connection", b"X-Forwarded-User")];
    assert_eq!(judge("plain", second_line), Err(Refusal::ListedInConnection));
    for value in ["keep-alive", "Close", "upgrade", ""] {
        let lines: &[(&str, &[u8])] = &[("X-Forwarded-User", b"alice"), ("Connection", value.as_bytes())];
        assert_eq!(judge("plain", lines).as_deref(), Ok("alice"), "{value}");
    }
}

#[test]
fn companions_without_subject_are_not_a_visitor() {
    assert_eq!(judge("plain", &[]), Err(Refusal::Absent));
    assert_eq!(judge("plain", &[("X-Forwarded-User", b" ")]), Err(Refusal::Absent));
    assert_eq!(judge("plain", &[("X-Forwarded-Groups", b"staff")]), Err(Refusal::SubjectMissing));
    assert_eq!(
        judge("plain", &[("X-Forwarded-User", b""), ("X-Forwarded-Email", b"a@b")]),
        Err(Refusal::SubjectMissing)
    );
    assert_eq!(judge("plain", &[("X-Forwarded-Email", b"")]), Err(Refusal::Absent));
}

#[test]
fn oversize_values_are_refused() {
    let long = vec![b'a'; 9000];
    assert_eq!(judge("plain", &[("X-Forwarded-User", &long)]), Err(Refusal::SubjectTooLong));
    for other in ["X-Forwarded-Name", "X-Forwarded-Email", "X-Forwarded-Groups"] {
        let lines: &[(&str, &[u8])] = &[("X-Forwarded-User", b"alice"), (other, &long)];
        assert_eq!(judge("plain", lines).as_deref(), Ok("alice"), "{other} is left out");
        assert_eq!(judge("plain", &[(other, &long)]), Err(Refusal::SubjectMissing), "{other}");
    }
}

#[test]
fn bad_bytes_in_a_name_drop_the_name_only() {
    let lines: &[(&str, &[u8])] = &[("X-Forwarded-User", b"alice"), ("X-Forwarded-Name", b"caf\xe9")];
    assert_eq!(judge("plain", lines).as_deref(), Ok("alice"));
    assert_eq!(judge("plain", &[("X-Forwarded-User", b"caf\xe9")]), Err(Refusal::Encoding));
}

#[test]
fn debug_shows_no_personal_data() {
    let identity = Identity::of_operator("alice@example.org", Some("Alice")).expect("an identity");
    assert!(!format!("{identity:?}").to_lowercase().contains("alice"));
}

proptest::proptest! {
    /// T-15, T-30: of all subjects that are accepted, no two people have one chat subject: neither of two namespaces, nor
    /// of one with a namespace and one without.
    #[test]
    fn chat_subjects_tell_people_apart(
        a in ("(|a|b|ab|A)", "[ab-]{1,5}"),
        b in ("(|a|b|ab|A)", "[ab-]{1,5}"),
    ) {
        let used = ["", "a", "b", "ab", "A"].map(|namespace| ("x", Some(namespace)));
        let namespaces = namespace::Namespaces::of(&used).expect("namespaces");
        let told = |(namespace, subject): &(String, String)| {
            let reserved = namespaces.reserved_for(namespace);
            let taken = reserved.iter().any(|beginning| subject.starts_with(beginning));
            let told = Reading::Lines(HeaderLines { subject, ..HeaderLines::default() });
            (!taken).then(|| Identity::new("x", namespace, told).chat_subject().into_owned())
        };
        if let (Some(one), Some(two)) = (told(&a), told(&b)) {
            proptest::prop_assert_eq!(one == two, a == b);
            let entry = namespaces.taken_apart(&one).expect("a user").1;
            proptest::prop_assert_eq!(entry, &a.1);
        }
    }
}

proptest::proptest! {
    /// No bytes make the reader panic, and whatever it accepts is exactly one of the values that were sent.
    #[test]
    fn any_header_set_gives_one_identity_or_none(
        lines in proptest::collection::vec(("(?i)(x[-_.]forwarded[-_.](user|name|email|groups)|connection|host)[-_]?", proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 0..6)
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in &lines {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        let resolver = resolver("plain");
        if let Ok(identity) = resolver.resolve(&evidence(&resolver, "127.0.0.1", &map)) {
            let sent: Vec<_> = map.get_all("x-forwarded-user").iter().collect();
            proptest::prop_assert_eq!(sent.len(), 1);
            proptest::prop_assert_eq!(sent[0].as_bytes().trim_ascii(), identity.subject().as_bytes());
            proptest::prop_assert!(!map.keys().any(|name| name.as_str().replace(['_', '.'], "-").trim_matches('-') == "x-forwarded-user" && name != "x-forwarded-user"));
        }
    }
}
