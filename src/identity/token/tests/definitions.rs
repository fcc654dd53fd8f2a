//! What a definition may say, and the presets that say it.

use super::*;
use crate::identity::definition::PRESETS;

/// What an operator must say of each preset, and nothing more.
fn settings(preset: &str) -> Option<Value> {
    Some(match preset {
        "oidc" | "keycloak" => json!({ "issuer": "https://issuer.example/", "audience": "chat" }),
        "pomerium" => json!({ "host": "chat.example.com" }),
        "cloudflare-access" => json!({ "team": "acme", "audience": ["aa11", "bb22"] }),
        "google-iap" => json!({ "audience": "/projects/1/global/backendServices/2" }),
        "aws-alb" => json!({
            "region": "eu-west-1", "signers": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/a/1",
            "client": "app", "issuer": "https://issuer.example/",
        }),
        "azure-ad" => json!({ "tenant": "11-22", "client_id": "33-44" }),
        "teleport" => {
            json!({ "cluster": "c", "proxy": "teleport.example.com:3080", "audience": "http://10.0.0.5:8080" })
        }
        "authentik-jwt" => json!({ "host": "auth.example.com", "application": "chat", "client_id": "c" }),
        "oathkeeper-jwt" => {
            json!({ "issuer": "https://o.example/", "audience": "chat", "jwks_url": "https://o.example/jwks.json" })
        }
        "kubernetes" => json!({ "audience": "sidemint" }),
        "spiffe-jwt" => {
            json!({ "trust_domain": "example.org", "audience": "a", "jwks_url": "https://spire.example.org/keys" })
        }
        _ => return None,
    })
}

#[test]
fn every_preset_of_tokens_compiles_with_its_settings_and_not_without() {
    let mut tried = 0;
    for (name, text) in PRESETS.iter().filter(|(_, text)| text.contains("kind = \"jwt\"")) {
        let own = settings(name).unwrap_or_else(|| panic!("{name} is not tried"));
        let definition = definition::compile(name, Some(&own)).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let Kind::Token(token) = definition.kind else { panic!("{name} is of another kind: {text}") };
        let rules = token.0;
        assert!(!rules.issuers.iter().chain(&rules.audiences).any(|text| text.contains(['{', '}'])), "{name}");
        let missing = definition::compile(name, Some(&json!({}))).expect_err(name);
        assert_eq!(missing.iter().count(), own.as_object().expect("settings").len(), "{name}: {missing:?}");
        tried += 1;
    }
    assert_eq!(tried, 12);
}

/// The whole table of what would weaken a source, and what is said about it. T-30: two issuers are two sources.
#[test]
fn definitions_that_would_believe_too_much_are_refused() {
    let jwt = |over: Value| {
        let mut own = json!({
            "kind": "jwt", "keys": { "file": "x" },
            "jwt": { "header": "X-Token", "algorithms": ["ES256"], "issuer": "https://i.example", "audience": "a" },
        });
        for (name, value) in over.as_object().expect("a table") {
            own["jwt"][name] = value.clone();
        }
        own
    };
    let complaint = |own: &Value| match definition::compile("own", Some(own)) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(complaint(&jwt(json!({}))), "");
    for (over, expected) in [
        (json!({ "algorithms": [] }), "jwt.algorithms: must be of one family"),
        (json!({ "algorithms": ["ES256", "RS256"] }), "jwt.algorithms: must be of one family"),
        (json!({ "algorithms": ["HS256", "RS256"] }), "jwt.algorithms: must be of one family"),
        (json!({ "algorithms": ["HS256"] }), "keys: HS256, HS384 and HS512 need secret_file"),
        (json!({ "algorithms": ["none"] }), "jwt.algorithms: no algorithm \"none\""),
        (json!({ "algorithms": ["es256"] }), "jwt.algorithms: no algorithm \"es256\""),
        (json!({ "issuer": [] }), "jwt.issuer: is missing"),
        (json!({ "issuer": "" }), "jwt.issuer: must be exact"),
        (json!({ "issuer": "https://*.example" }), "jwt.issuer: must be exact"),
        (json!({ "issuer": [], "subject_prefix": "spiffe://" }), "jwt.issuer: is missing"),
        (json!({ "issuer": [], "subject_prefix": "spiffe://a" }), "jwt.issuer: is missing"),
        (json!({ "issuer": [], "subject_prefix": ["spiffe://a/", "x"] }), "jwt.issuer: is missing"),
        (json!({ "issuer": ["https://i.example", "https://j.example"] }), "jwt.issuer: names several issuers"),
        (json!({ "issuer": ["https://i.example/a", "https://i.example/b"] }), "jwt.issuer: names several issuers"),
        (json!({ "issuer": ["i.example", "https://i.example/", "j.example"] }), "jwt.issuer: names several issuers"),
        (json!({ "audience": [] }), "jwt.audience: is missing"),
        (json!({ "audience": ["a", ""] }), "jwt.audience: must be exact"),
        (json!({ "max_age": "" }), "jwt.max_age: is \"\", write a span of time"),
        (json!({ "header": "X_Token" }), "jwt.header: \"X_Token\" must not hold"),
        (json!({ "header": "" }), "jwt.header: \"\" is not"),
        (json!({ "scheme": "Bearer " }), "jwt.scheme: must be one word"),
        (json!({ "signers": ["arn"] }), "jwt.signers: is for jwt.form"),
        (json!({ "form": "alb" }), "jwt.signers: is missing; name the load balancers"),
        (json!({ "form": "alb", "signers": ["arn"] }), "jwt.client: is missing"),
        (
            json!({ "form": "alb", "signers": ["arn"], "client": "c" }),
            "jwt.audience: tokens of load balancers have none",
        ),
        (
            json!({ "form": "alb", "audience": [], "signers": ["a"], "client": "c", "algorithms": ["RS256"] }),
            "jwt.algorithms: load balancers sign with ES256",
        ),
        (json!({ "machine": "/a//b" }), "jwt.machine: \"/a//b\" is not the name of a claim"),
        (json!({ "other": 1 }), "jwt.other: unknown key"),
    ] {
        let said = complaint(&jwt(over.clone()));
        assert!(said.starts_with(expected), "{over}: {said}");
    }
    // One issuer in its spellings, and issuers whose subjects are told apart.
    assert_eq!(complaint(&jwt(json!({ "issuer": ["i.example", "https://i.example", "https://i.example/"] }))), "");
    let mut own = jwt(json!({ "issuer": ["https://i.example/a", "https://i.example/b"] }));
    own["claims"] = json!({ "subject": "oid", "subject_within": "tid" });
    assert_eq!(complaint(&own), "");
    let mut own = jwt(json!({}));
    own["keys"] = json!({ "secret_file": "x" });
    assert!(complaint(&own).starts_with("keys: HS256"), "{}", complaint(&own));
    own.as_object_mut().expect("a table").shift_remove("keys");
    assert!(complaint(&own).starts_with("keys: is missing"), "{}", complaint(&own));
    own.as_object_mut().expect("a table").shift_remove("jwt");
    assert!(complaint(&own).starts_with("jwt: is missing"), "{}", complaint(&own));
}
