//! What claims must be, and what they tell.

use super::*;

fn outcome(more: Value, claims: &Value) -> Result<Arc<Profile>, Refusal> {
    Bench::new("EdDSA", more).read(&token("EdDSA", claims))
}

/// T-21: nothing is believed for want of a claim, or because it is of another type.
#[test]
fn claims_that_are_missing_or_of_another_type_are_refused() {
    for name in ["exp", "iss", "aud", "sub"] {
        assert_eq!(outcome(json!({}), &but(json!({ name: null }))).err(), Some(Refusal::Claim), "{name}");
    }
    for claims in [
        json!({ "exp": "9999999999" }),
        json!({ "exp": -1 }),
        json!({ "exp": -0.5 }),
        json!({ "exp": 1e300 }),
        json!({ "exp": 1_777_920_300_000_i64 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": [NOW + 300] }),
        json!({ "exp": true }),
        json!({ "nbf": "0" }),
        json!({ "iat": "0" }),
        json!({ "iat": {} }),
        json!({ "iss": ["https://issuer.example/"] }),
        json!({ "iss": 1 }),
        json!({ "aud": {} }),
        json!({ "aud": 1 }),
        json!({ "aud": ["chat", 1] }),
        json!({ "aud": [["chat"]] }),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "sub": ["alice"] }),
        json!({ "sub": "anonymous" }),
        json!({ "events": {} }),
    ] {
        assert_eq!(outcome(json!({}), &but(claims.clone())).err(), Some(Refusal::Claim), "{claims}");
    }
}

/// T-21: JSON that two readers can take differently.
#[test]
fn payloads_that_are_not_one_object_are_refused() {
    let bench = Bench::new("EdDSA", json!({}));
    let good = good().to_string();
    let deep = good.replacen('{', &format!("{{\"x\":{}1{},", "[".repeat(5_000), "]".repeat(5_000)), 1);
    for payload in [
        good.replace("\"alice\"", "\"alice\",\"sub\":\"admin\""),
        good.replace("\"sub\"", "\"s\\u0075b\":\"admin\",\"sub\""),
        good.replace("1777920300", "1e400"),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good}x"),
        "null".to_owned(),
        "\u{feff}{}".to_owned(),
        deep,
    ] {
        let token = signed(&OURS, "EdDSA", r#"{"alg":"EdDSA","kid":"ed"}"#, &payload);
        assert_eq!(bench.refuses(&token), Some(Refusal::TokenMalformed), "{}", payload.get(..80).unwrap_or(&payload));
    }
}

/// T-22: one letter more or less is another party.
#[test]
fn issuer_audience_and_party_are_exact() {
    for issuer in ["https://issuer.example", "https://ISSUER.example/", "https://issuer.example//", "x", " ", ""] {
        assert_eq!(outcome(json!({}), &but(json!({ "iss": issuer }))).err(), Some(Refusal::Issuer), "{issuer}");
    }
    for audience in [json!("cha"), json!("chat/"), json!("Chat"), json!([]), json!(["chats", "hat"]), json!("")] {
        assert_eq!(outcome(json!({}), &but(json!({ "aud": audience }))).err(), Some(Refusal::Audience), "{audience}");
    }
    assert!(outcome(json!({}), &but(json!({ "aud": ["other", "chat"] }))).is_ok());
    let parties = || json!({ "jwt": { "authorized_parties": ["web"] } });
    for (claims, refusal) in [
        (json!({ "azp": "web" }), None),
        (json!({ "client_id": "web", "azp": "web" }), None),
        (json!({}), Some(Refusal::Claim)),
        (json!({ "azp": "other" }), Some(Refusal::Audience)),
        (json!({ "azp": "web", "client_id": "other" }), Some(Refusal::Audience)),
        (json!({ "azp": ["web"] }), Some(Refusal::Claim)),
    ] {
        assert_eq!(outcome(parties(), &but(claims.clone())).err(), refusal, "{claims}");
    }
}

/// T-29: times hold to the second, with the leeway on both sides.
#[test]
fn a_token_holds_for_its_time() {
    for (claims, refusal) in [
        (json!({ "exp": NOW - 29 }), None),
        (json!({ "exp": NOW - 30 }), Some(Refusal::Expired)),
        (json!({ "exp": 0 }), Some(Refusal::Expired)),
        (json!({ "exp": 1_777_920_000.5 }), None),
        (json!({ "nbf": NOW + 30 }), None),
        (json!({ "nbf": NOW + 31 }), Some(Refusal::NotYetValid)),
        (json!({ "iat": NOW + 31 }), Some(Refusal::NotYetValid)),
        (json!({ "iat": 0 }), None),
    ] {
        assert_eq!(outcome(json!({}), &but(claims.clone())).err(), refusal, "{claims}");
    }
    let young = || json!({ "jwt": { "max_age": "10m" } });
    for (claims, refusal) in [
        (json!({ "iat": NOW - 629, "exp": NOW + 900_000 }), None),
        (json!({ "iat": NOW - 630, "exp": NOW + 900_000 }), Some(Refusal::TooOld)),
        (json!({ "iat": NOW - 629, "exp": NOW - 30 }), Some(Refusal::Expired)),
        (json!({ "iat": null }), Some(Refusal::Claim)),
    ] {
        assert_eq!(outcome(young(), &but(claims.clone())).err(), refusal, "{claims}");
    }
}

#[test]
fn claims_tell_of_the_user() {
    let claims = but(json!({
        "name": "  Älice \u{202e} Doe ", "email": "alice@example.org", "email_verified": true, "picture": "https://p.example/a",
        "realm_access": { "roles": ["staff", "", "b\u{7}d", "ops"] }, "groups": 7,
    }));
    let profile = outcome(json!({}), &claims).expect("a user");
    assert_eq!(profile.name.as_deref(), Some("Älice Doe"));
    assert_eq!(profile.email.as_deref(), Some("alice@example.org"));
    assert_eq!(profile.avatar.as_deref(), Some("https://p.example/a"));
    assert_eq!(profile.groups, ["staff", "ops"]);
    let second = outcome(json!({}), &but(json!({ "name": "", "preferred_username": "al", "groups": "one" })));
    let second = second.expect("a user");
    assert_eq!((second.name.as_deref(), &second.groups[..]), (Some("al"), &["one".to_owned()][..]));
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(outcome(json!({}), &but(json!({ "groups": many }))).expect("a user").groups.len(), 256);
    let wrong = json!({ "name": 7, "email": [], "picture": "http://x", "groups": {} });
    let profile = outcome(json!({}), &but(wrong)).expect("a user");
    assert!(profile.name.is_none() && profile.email.is_none() && profile.avatar.is_none() && profile.groups.is_empty());
    // What no group is called costs itself, whichever way claims come in.
    let mixed = outcome(json!({}), &but(json!({ "groups": ["a", 1, "b\u{7}", "x".repeat(256)] }))).expect("a user");
    assert_eq!(mixed.groups, ["a"]);
}

#[test]
fn an_address_counts_only_once_it_is_verified() {
    let verified = |flag: Value| {
        let claims = but(json!({ "email": "alice@example.org", "email_verified": flag }));
        outcome(json!({}), &claims).expect("a user").email.is_some()
    };
    assert!(verified(json!(true)) && verified(json!("true")));
    for flag in [json!(false), json!("false"), json!(1), json!({}), json!(null)] {
        assert!(!verified(flag.clone()), "{flag}");
    }
}

/// T-13: a user who may write any address into their account is not the user of that address.
#[test]
fn an_address_is_a_subject_only_once_it_is_verified() {
    let subject = |flag: Value| {
        let claims = but(json!({ "email": "alice@example.org", "email_verified": flag }));
        outcome(json!({ "claims": { "subject": "email" } }), &claims).map(|profile| profile.subject.clone())
    };
    assert_eq!(subject(json!(true)), Ok("alice@example.org".to_owned()));
    for flag in [json!(false), json!("false"), json!(1), json!(null)] {
        assert_eq!(subject(flag.clone()), Err(Refusal::Claim), "{flag}");
    }
}

/// T-15: what a subject is unique within comes before it, and two users never become one.
#[test]
fn subjects_keep_apart_what_the_issuer_keeps_apart() {
    let within = || json!({ "claims": { "subject": "oid", "subject_within": "tid" } });
    let subject = |tid: Value, oid: Value| {
        outcome(within(), &but(json!({ "tid": tid, "oid": oid }))).map(|profile| profile.subject.clone())
    };
    assert_eq!(subject(json!("t"), json!("o")), Ok("t:o".to_owned()));
    assert_eq!(subject(json!("t:o"), json!("x")), Err(Refusal::Claim));
    assert_eq!(subject(json!(""), json!("x")), Err(Refusal::Claim));
    assert_eq!(subject(json!(null), json!("x")), Err(Refusal::Claim));
    assert_eq!(subject(json!("t"), json!(null)), Err(Refusal::Claim));
    // Claims come without spaces around them, so what has some is another user.
    for (subject, refusal) in [
        (" alice", Refusal::Character),
        ("alice\n", Refusal::Character),
        ("ro\u{200B}ot", Refusal::Character),
        ("ｒoot", Refusal::Character),
        ("al\u{0}ice", Refusal::Character),
        (&"x".repeat(256), Refusal::SubjectTooLong),
    ] {
        assert_eq!(outcome(json!({}), &but(json!({ "sub": subject }))).err(), Some(refusal), "{subject:?}");
    }
    // An issuer has signed these, so no proxy left a placeholder in them.
    for subject in ["cn=a,dc=b", "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", "$svc", "${x}", "%a%", "user-{id}"] {
        assert_eq!(outcome(json!({}), &but(json!({ "sub": subject }))).expect("a user").subject, subject);
    }
}

#[test]
fn machines_are_not_users() {
    let machines = || json!({ "jwt": { "machine": "common_name" } });
    for claims in [json!({ "sub": "", "common_name": "svc" }), json!({ "sub": null, "common_name": "svc" })] {
        assert_eq!(outcome(machines(), &but(claims)).err(), Some(Refusal::Machine));
    }
    assert_eq!(outcome(machines(), &but(json!({ "sub": null }))).err(), Some(Refusal::Claim));
    assert_eq!(outcome(machines(), &but(json!({ "sub": null, "common_name": "" }))).err(), Some(Refusal::Claim));
    assert!(outcome(machines(), &but(json!({ "common_name": "svc" }))).is_ok());
}

#[test]
fn spiffe_ids_name_their_trust_domain() {
    let spiffe = || json!({ "jwt": { "issuer": [], "subject_prefix": "spiffe://example.org/" } });
    let read = |sub: &str| outcome(spiffe(), &but(json!({ "iss": null, "sub": sub }))).map(|user| user.subject.clone());
    assert_eq!(read("spiffe://example.org/ns/a"), Ok("spiffe://example.org/ns/a".to_owned()));
    for sub in ["spiffe://example.org.evil/ns/a", "spiffe://EXAMPLE.org/a", "spiffe://example.org", "alice"] {
        assert_eq!(read(sub), Err(Refusal::Issuer), "{sub}");
    }
}

/// Beginnings are those of the claim that names the user: another claim would say nothing of who it is.
#[test]
fn beginnings_are_asked_of_the_claim_that_is_the_subject() {
    let own = || {
        json!({
            "jwt": { "issuer": [], "subject_prefix": "spiffe://example.org/" },
            "claims": { "subject": "/workload/id" },
        })
    };
    let read = |sub: &str, id: &str| {
        let claims = but(json!({ "iss": null, "sub": sub, "workload": { "id": id } }));
        outcome(own(), &claims).map(|user| user.subject.clone())
    };
    let (ours, theirs) = ("spiffe://example.org/ns/a", "spiffe://evil.example/ns/a");
    assert_eq!(read("opaque", ours), Ok(ours.to_owned()));
    assert_eq!(read(ours, theirs), Err(Refusal::Issuer));
    assert_eq!(outcome(own(), &but(json!({ "iss": null, "sub": ours }))).err(), Some(Refusal::Claim));
}
