//! Forged tokens (threats, section 3).

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;

/// A token with `header`, signed by HMAC-SHA-256 under `key`.
fn mac(header: &Value, key: &[u8]) -> String {
    let message = format!("{}.{}", part(header.to_string()), part(good().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    format!("{message}.{}", part(tag))
}

/// T-17: what is public about an RSA key is no secret for HMAC, whatever the token says.
#[test]
fn a_public_key_is_never_a_secret() {
    let der = OURS.rsa_der();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let modulus = OURS.modulus();
    let bench = Bench::new("RS256", json!({}));
    for key in [pem.as_bytes(), pem.trim().as_bytes(), &der, modulus, part(modulus).as_bytes(), b""] {
        for alg in ["HS256", "hs256", "HS512"] {
            let forged = mac(&json!({ "alg": alg, "kid": "rsa" }), key);
            assert_eq!(bench.refuses(&forged), Some(Refusal::TokenAlgorithm));
        }
        // The right name over the wrong kind of signature.
        let forged = mac(&json!({ "alg": "RS256", "kid": "rsa" }), key);
        assert_eq!(bench.refuses(&forged), Some(Refusal::Signature));
    }
}

/// T-17: an algorithm of the same family is not enough; it has to be one of those configured.
#[test]
fn only_configured_algorithms_reach_a_key() {
    for (configured, named) in [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "ES256"), ("ES256", "EdDSA")] {
        let bench = Bench::new(configured, json!({}));
        assert_eq!(bench.refuses(&token(named, &good())), Some(Refusal::TokenAlgorithm), "{named}");
    }
    let key = |alg: &str| {
        let mut jwk = OURS.rsa_jwk();
        jwk["alg"] = json!(alg);
        Key::of_jwk(&jwk).into_iter().collect()
    };
    // A key that states its algorithm serves no other.
    let bench = Bench::with_keys("PS256", json!({}), key("RS256"));
    assert_eq!(bench.refuses(&token("PS256", &good())), Some(Refusal::KeyUnknown));
    let bench = Bench::with_keys("PS256", json!({}), key("PS256"));
    assert!(bench.read(&token("PS256", &good())).is_ok());
}

/// T-18: no signature, in any spelling.
#[test]
fn none_is_no_algorithm() {
    let bench = Bench::new("ES256", json!({}));
    for alg in ["none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "ES256\u{0}", "RS1"] {
        let header = json!({ "alg": alg, "kid": "ec" }).to_string();
        for signature in ["", "AA"] {
            let forged = format!("{}.{}.{signature}", part(&header), part(good().to_string()));
            let refusal = if signature.is_empty() { Refusal::TokenMalformed } else { Refusal::TokenAlgorithm };
            assert_eq!(bench.refuses(&forged), Some(refusal), "{alg}");
        }
    }
    for header in [json!({ "kid": "ec" }), json!({ "alg": null }), json!({ "alg": ["ES256"] }), json!({ "alg": 1 })] {
        let forged = signed(&OURS, "ES256", &header.to_string(), &good().to_string());
        assert_eq!(bench.refuses(&forged), Some(Refusal::TokenAlgorithm), "{header}");
    }
}

/// T-18: numbers that satisfy a careless verifier for every message, and signatures in other forms.
#[test]
fn degenerate_signatures_are_refused() {
    /// The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let one = {
        let mut one = [0; 32];
        one[31] = 1;
        one
    };
    let bench = Bench::new("ES256", json!({}));
    let good = token("ES256", &good());
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let signature = BASE64URL.decode(signature).expect("base64url");
    let halves = |r: &[u8], s: &[u8]| [r, s].concat();
    let mut der = vec![0x30, 0x44, 0x02, 0x20];
    der.extend(&signature[..32]);
    der.extend([0x02, 0x20]);
    der.extend(&signature[32..]);
    for forged in [
        vec![0; 64],
        halves(&[0; 32], &signature[32..]),
        halves(&signature[..32], &[0; 32]),
        halves(&ORDER, &ORDER),
        halves(&ORDER, &one),
        halves(&one, &ORDER),
        halves(&one, &one),
        vec![0xff; 64],
        signature[..63].to_vec(),
        halves(&signature, &[0]),
        halves(&[0; 32], &signature),
        vec![1],
        der,
    ] {
        assert_eq!(bench.refuses(&format!("{message}.{}", part(&forged))), Some(Refusal::Signature), "{forged:x?}");
    }
    assert!(bench.read(&good).is_ok());
    let edwards = Bench::new("EdDSA", json!({}));
    let message = format!("{}.{}", part(r#"{"alg":"EdDSA","kid":"ed"}"#), part(super::good().to_string()));
    for forged in [vec![0; 64], vec![0; 63], vec![0xff; 64]] {
        assert_eq!(edwards.refuses(&format!("{message}.{}", part(&forged))), Some(Refusal::Signature));
    }
}

/// T-19: a token that brings its own key, or says where one is, is verified with ours.
#[test]
fn keys_in_a_token_are_not_looked_at() {
    let bench = Bench::new("ES256", json!({}));
    for (name, value) in [
        ("jwk", THEIRS.ec_jwk()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("http://169.254.169.254/")),
        ("x5c", json!([STANDARD.encode(THEIRS.rsa_der())])),
        ("x5t", json!("AA")),
    ] {
        let header = json!({ "alg": "ES256", "kid": "ec", name: value }).to_string();
        let forged = signed(&THEIRS, "ES256", &header, &good().to_string());
        assert_eq!(bench.refuses(&forged), Some(Refusal::Signature), "{name}");
        assert!(bench.read(&signed(&OURS, "ES256", &header, &good().to_string())).is_ok(), "{name}");
    }
    for name in ["crit", "b64", "zip", "enc"] {
        for value in [json!(["exp"]), json!([]), json!(null), json!(false), json!("DEF")] {
            let header = json!({ "alg": "ES256", "kid": "ec", name: value }).to_string();
            let refusal = bench.refuses(&signed(&OURS, "ES256", &header, &good().to_string()));
            assert_eq!(refusal, Some(Refusal::TokenHeader), "{header}");
        }
    }
}

/// T-20: the id of a key is a name in a list, and nothing else.
#[test]
fn key_ids_lead_nowhere() {
    let bench = Bench::new("ES256", json!({}));
    let refusal = |kid: Value| {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        bench.refuses(&signed(&OURS, "ES256", &header, &good().to_string()))
    };
    for kid in ["../ec", "%2e%2e", "http://attacker.example/", "ec'--", "EC", "../../dev/null", "rsa", "ed"] {
        assert_eq!(refusal(json!(kid)), Some(Refusal::KeyUnknown), "{kid}");
    }
    let long = "k".repeat(129);
    for kid in
        [json!("e\u{0}c"), json!("ec "), json!("é"), json!("e\nc"), json!(long), json!(7), json!(null), json!([])]
    {
        assert_eq!(refusal(kid.clone()), Some(Refusal::TokenHeader), "{kid}");
    }
    // Where the token or the set gives no ids, the type tells which keys to try; the signature decides all the same.
    assert_eq!(refusal(json!("")), None);
    let nameless = |signers: &Signers| {
        let mut jwk = signers.ec_jwk();
        jwk["kid"] = json!("");
        Bench::with_keys("ES256", json!({}), Key::of_jwk(&jwk).into_iter().collect())
    };
    for header in
        [json!({ "alg": "ES256" }), json!({ "alg": "ES256", "kid": "" }), json!({ "alg": "ES256", "kid": "x" })]
    {
        let token = signed(&OURS, "ES256", &header.to_string(), &good().to_string());
        assert_eq!(nameless(&OURS).refuses(&token), None, "{header}");
        assert_eq!(nameless(&THEIRS).refuses(&token), Some(Refusal::Signature), "{header}");
    }
    let mut nowhere = Bench::new("ES256", json!({}));
    nowhere.verifier.keys = Arc::new(KeySet::of(Keys::default()));
    assert_eq!(nowhere.refuses(&token("ES256", &good())), Some(Refusal::KeysUnavailable));
}

/// Tokens that the same issuer makes for other ends.
#[test]
fn other_types_of_tokens_are_refused() {
    let typed = |more: Value, typ: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "ec" });
        if !typ.is_null() {
            header["typ"] = typ;
        }
        Bench::new("ES256", more).refuses(&signed(&OURS, "ES256", &header.to_string(), &good().to_string()))
    };
    for typ in [json!(null), json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/at+JWT"), json!("JOSE")] {
        assert_eq!(typed(json!({}), typ.clone()), None, "{typ}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "application/", "application/application/jwt"] {
        assert_eq!(typed(json!({}), json!(typ)), Some(Refusal::TokenHeader), "{typ}");
    }
    assert_eq!(typed(json!({}), json!(["JWT"])), Some(Refusal::TokenHeader));
    let pinned = || json!({ "jwt": { "types": ["at+jwt"] } });
    assert_eq!(typed(pinned(), json!("at+jwt")), None);
    assert_eq!(typed(pinned(), json!("JWT")), Some(Refusal::TokenHeader));
    assert_eq!(typed(pinned(), json!(null)), Some(Refusal::TokenHeader));
}

/// T-21 for headers, T-24 for all.
#[test]
fn broken_headers_are_refused() {
    let bench = Bench::new("ES256", json!({}));
    for header in [
        r#"{"alg":"none","alg":"ES256","kid":"ec"}"#,
        r#"{"alg":"ES256","a\u006cg":"ES256","kid":"ec"}"#,
        r#"{"alg":"ES256","kid":"x","kid":"ec"}"#,
        r#"[{"alg":"ES256","kid":"ec"}]"#,
        r#""ES256""#,
        r#"{"alg":"ES256","kid":"ec"}{}"#,
        "",
        "{",
    ] {
        let forged = signed(&OURS, "ES256", header, &good().to_string());
        assert_eq!(bench.refuses(&forged), Some(Refusal::TokenMalformed), "{header}");
    }
    let good = token("ES256", &good());
    for forged in [
        format!("{good}="),
        format!("{good}."),
        format!(".{good}"),
        good.replace('.', "=."),
        format!("{good}.x.y"),
        ".".repeat(16 * 1024),
        good.replacen('.', "..", 1),
    ] {
        assert_eq!(bench.refuses(&forged), Some(Refusal::TokenMalformed), "{}", forged.get(..40).unwrap_or_default());
    }
    assert_eq!(bench.refuses(&".".repeat(100_000)), Some(Refusal::TooLong));
    assert_eq!(bench.refuses(&"a".repeat(1024 * 1024)), Some(Refusal::TooLong));
}

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/ours/1";
const UUID: &str = "7ce2b1f0-5a3b-4c8e-9f10-0123456789ab";

fn balancer() -> Bench {
    let over = json!({ "jwt": { "header": "x-amzn-oidc-data", "form": "alb", "audience": [], "signers": [ARN], "client": "app" } });
    let mut jwk = OURS.ec_jwk();
    jwk["kid"] = json!(UUID);
    Bench::with_keys("ES256", over, Key::of_jwk(&jwk).into_iter().collect())
}

/// As AWS writes it: padding stays, and is signed.
fn padded(by: &Signers, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", URL_SAFE.encode(header.to_string()), URL_SAFE.encode(claims.to_string()));
    let signature = URL_SAFE.encode(by.sign("ES256", message.as_bytes()));
    format!("{message}.{signature}")
}

/// T-22 (ALBeast): every customer of AWS can have a balancer, so the signer and the client are part of the proof.
#[test]
fn only_our_balancer_signs_for_our_client() {
    let header = || json!({ "typ": "JWT", "kid": UUID, "alg": "ES256", "iss": "https://issuer.example/", "client": "app", "signer": ARN, "exp": NOW + 120 });
    let claims = but(json!({ "aud": null, "email": "alice@example.org", "x": "odd" }));
    let bench = balancer();
    let good = padded(&OURS, &header(), &claims);
    assert!(good.contains('='), "{good}");
    assert_eq!(bench.read_line(&good).expect("a user").subject, "alice");
    assert_eq!(bench.read_line(&good.replace('=', "")).err(), Some(Refusal::Signature), "padding is signed");
    assert_eq!(bench.read_line(&padded(&THEIRS, &header(), &claims)).err(), Some(Refusal::Signature));
    let claim_expired = padded(&OURS, &header(), &but(json!({ "aud": null, "exp": NOW - 60 })));
    assert_eq!(bench.read_line(&claim_expired).err(), Some(Refusal::Expired));
    for (name, value, refusal) in [
        ("signer", json!(ARN.replace("ours", "theirs")), Refusal::TokenHeader),
        ("signer", json!([ARN]), Refusal::TokenHeader),
        ("signer", json!(null), Refusal::TokenHeader),
        ("client", json!("App"), Refusal::TokenHeader),
        ("client", json!(null), Refusal::TokenHeader),
        ("kid", json!("../../etc/passwd"), Refusal::TokenHeader),
        ("kid", json!("7ce2b1f05a3b4c8e9f100123456789ab"), Refusal::TokenHeader),
        ("kid", json!(""), Refusal::TokenHeader),
        ("kid", json!("00000000-5a3b-4c8e-9f10-0123456789ab"), Refusal::KeyUnknown),
        ("iss", json!("https://other.example/"), Refusal::Issuer),
        ("iss", json!(null), Refusal::TokenHeader),
        ("exp", json!("1"), Refusal::TokenHeader),
        ("exp", json!(NOW - 30), Refusal::Expired),
        ("alg", json!("RS256"), Refusal::TokenAlgorithm),
    ] {
        let mut header = header();
        header[name] = value.clone();
        assert_eq!(bench.read_line(&padded(&OURS, &header, &claims)).err(), Some(refusal), "{name} {value}");
    }
}

proptest! {
    /// T-57: no bytes make it panic, and none of them are believed.
    #[test]
    fn garbage_is_refused(line in "[ -~]{0,300}", header in "\\PC{0,60}", payload in "\\PC{0,60}") {
        static BENCH: LazyLock<Bench> = LazyLock::new(|| Bench::new("EdDSA", json!({})));
        let refused = BENCH.read_line(&["Bearer ", &line].concat()).is_err();
        prop_assert!(refused);
        let token = signed(&OURS, "EdDSA", &header, &payload);
        prop_assert!(BENCH.read(&token).is_err());
        let token = signed(&OURS, "EdDSA", r#"{"alg":"EdDSA","kid":"ed"}"#, &payload);
        prop_assert!(BENCH.read(&token).is_err());
    }

    /// Whatever one changes about a good token, it is no other good token.
    #[test]
    fn no_other_spelling_of_a_token_holds(at in 0_usize..400, to in "[A-Za-z0-9_.=-]") {
        static BENCH: LazyLock<(Bench, String)> =
            LazyLock::new(|| (Bench::new("EdDSA", json!({})), token("EdDSA", &good())));
        let (bench, good) = &*BENCH;
        let at = at % good.len();
        let mut changed = good.clone();
        changed.replace_range(at..=at, &to);
        prop_assert_eq!(bench.read(&changed).is_ok(), changed == *good);
    }

    /// T-17: whatever the header names, only what is configured gets as far as a key.
    #[test]
    fn only_the_pin_reaches_a_key(alg in "(HS|RS|ES|PS|hs|Ed|none)(256|384|512|DSA)?") {
        static BENCH: LazyLock<Bench> = LazyLock::new(|| Bench::new("EdDSA", json!({})));
        let header = json!({ "alg": alg, "kid": "unknown" }).to_string();
        let refusal = BENCH.refuses(&signed(&OURS, "EdDSA", &header, &good().to_string()));
        let expected = if alg == "EdDSA" { Refusal::KeyUnknown } else { Refusal::TokenAlgorithm };
        prop_assert_eq!(refusal, Some(expected));
    }
}
