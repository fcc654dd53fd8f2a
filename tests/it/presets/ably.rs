//! Ably: token requests equal to the official library's, JWTs verified by the jose library, revocation at a strict fake.

use serde_json::{Value, json};

use super::{on, parts, refusal, sign_out};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION};
use crate::judge::judge;

const KEY: &str = "I2E_JQ.OqUdfg:EVKVTdS7cCyt65aL-h3qYwA_hTVlMblbtDyDn91G7Kk";
const SECRETS: [(&str, &str); 1] = [("ABLY_API_KEY", KEY)];
const CAPABILITY: &str =
    "capability = { \"chat:*\" = [\"subscribe\", \"publish\"], \"private:{{ user.id }}\" = [\"*\"] }";

fn half(after: bool) -> &'static str {
    let (name, secret) = KEY.split_once(':').unwrap();
    if after { secret } else { name }
}

/// Header and claims, where the signature and the times are right.
fn verified(token: &Value, seconds_later: i64) -> Value {
    let at = NOW.as_seconds() + seconds_later;
    let order = json!({"token": token, "secret": half(true), "at": at, "checks": {"algorithms": ["HS256"]}});
    judge("jose.mjs", order)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_is_signed_with_one_half_of_the_key_and_names_the_other() {
    let service = on("ably", CAPABILITY, SECRETS).await;
    let session = service.session("alice").await.json();
    let (seen, at) = (verified(&session["token"], 3599), NOW.as_seconds());
    assert_eq!(seen["header"], json!({"alg": "HS256", "typ": "JWT", "kid": "I2E_JQ.OqUdfg"}));
    let claims = json!({
        "x-ably-capability": "{\"chat:*\":[\"subscribe\",\"publish\"],\"private:alice\":[\"*\"]}",
        "x-ably-clientId": "alice", "iat": at, "exp": at + 3600,
    });
    assert_eq!(seen["claims"], claims);
    assert_eq!(verified(&session["token"], 3600)["error"], "ERR_JWT_EXPIRED");
    assert_eq!(session["apiUrl"], "https://rest.ably.io");
    assert!(!session.to_string().contains(half(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn further_claims_are_the_operators_but_for_who_and_what() {
    let lines = format!(
        "{CAPABILITY}\nclaims = {{ \"ably.channel.chat:*\" = \"{{{{ user.groups | first }}}}\", \"x-ably-revocation-key\" = \"staff\" }}"
    );
    let service = on("ably", &lines, SECRETS).await;
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "moderator")];
    let claims = parts(&service.ask("GET", SESSION, &headers).await.json()["token"]).1;
    assert_eq!(claims["ably.channel.chat:*"], "moderator");
    assert_eq!(claims["x-ably-revocation-key"], "staff");
    for name in ["x-ably-clientId", "x-ably-capability", "x-ably-token"] {
        let told = refusal("ably", &format!("{CAPABILITY}\nclaims = {{ \"{name}\" = \"bob\" }}"), SECRETS);
        assert!(told.contains("keeps for itself"), "{told}");
    }
}

/// The client id that stands for all is no user's, and no user widens a capability by being called so.
#[tokio::test(flavor = "multi_thread")]
async fn wildcards_and_line_breaks_are_no_client_ids() {
    for preset in ["ably", "ably-token-request"] {
        let service = on(preset, CAPABILITY, SECRETS).await;
        for user in ["*", "a*", "chat:*"] {
            let answer = service.session(user).await;
            assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{preset} {user}");
        }
        assert_eq!(service.session("auth0|Alice Ä").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_request_is_the_one_that_the_official_library_makes() {
    let service = on("ably-token-request", CAPABILITY, SECRETS).await;
    let first = service.session("älice \"A\"").await.json();
    let own = &first["tokenRequest"];
    let nonce = own["nonce"].as_str().unwrap();
    assert!(nonce.len() >= 16, "{nonce}");
    let params = json!({
        "clientId": "älice \"A\"", "ttl": 3_600_000, "timestamp": NOW.as_millis(), "nonce": nonce,
        "capability": {"chat:*": ["subscribe", "publish"], "private:älice \"A\"": ["*"]},
    });
    assert_eq!(own, &judge("ably.mjs", json!({"key": KEY, "params": params})));
    assert_eq!(own["mac"], first["token"]);
    assert!(!first.to_string().contains(half(true)));
    // A nonce is good once, so nothing is kept.
    let second = service.session("älice \"A\"").await.json();
    assert_ne!(second["tokenRequest"]["nonce"], own["nonce"]);
    assert_ne!(second["tokenRequest"]["mac"], own["mac"]);
}

#[test]
fn a_key_that_is_none_and_a_missing_capability_are_refused() {
    for preset in ["ably", "ably-token-request"] {
        for key in ["OqUdfg:EVKVTdS7cCyt65aL", "I2E_JQ.OqUdfg", "I2E_JQ.OqUdfg:short"] {
            let told = refusal(preset, CAPABILITY, [("ABLY_API_KEY", key)]);
            assert!(told.contains("api_key") && !told.contains("EVKVT"), "{told}");
        }
        let told = refusal(preset, "", SECRETS);
        assert!(told.contains("capability is missing") || told.contains("capability: is missing"), "{told}");
    }
}

/// Ably, as far as taking tokens back goes.
fn ably(call: &Call) -> Script {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(KEY);
    if call.header("authorization") != format!("Basic {basic}") {
        return Script::json(401, &json!({"error": {"code": 40101, "statusCode": 401}}));
    }
    let path = format!("/keys/{}/revokeTokens", half(false));
    if (call.method.as_str(), &call.path, call.header("x-ably-version")) != ("POST", &path, "3") {
        return Script::json(404, &json!({"error": {"code": 40400, "statusCode": 404}}));
    }
    let targets = &call.json["targets"];
    let failures = targets.as_array().unwrap().iter().filter(|target| **target == "clientId:failing").count();
    Script::json(200, &json!({"successCount": 1 - failures, "failureCount": failures, "results": []}))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_taken_back_where_the_key_allows_it() {
    for preset in ["ably", "ably-token-request"] {
        let fake = Fake::start(ably).await;
        let lines = format!("api_url = \"{}\"\nretries = 0\n{CAPABILITY}", fake.base_url());
        assert_eq!(sign_out(&on(preset, &lines, SECRETS).await, "alice").await.status, 204);
        assert!(fake.calls().is_empty(), "not switched on");
        let service = on(preset, &format!("{lines}\nrevocable = true"), SECRETS).await;
        assert_eq!(sign_out(&service, "alice").await.status, 204);
        assert_eq!(fake.calls()[0].json, json!({"targets": ["clientId:alice"]}));
        assert_eq!(sign_out(&service, "failing").await.code(), "provider_bad_answer", "told within a 200");
    }
}
