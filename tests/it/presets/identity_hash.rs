//! Preset `identity-hash`, judged by the HMAC of another library.

use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::front::{members, refused, session, session_of_alice, start};

const SECRET: &str = "JNbSzXIEonCFiiOepXyMtcXl";
const URL: &str = "public_api_url = \"https://chatwoot.example.com\"\n";

/// HMAC-SHA256 in hexadecimal digits, by way of the signature of a JWT.
fn hash(text: &str) -> String {
    use base64::Engine as _;
    let mac = sign(text.as_bytes(), &EncodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(mac).unwrap();
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_is_signed_byte_for_byte() {
    let service = start("identity-hash", URL, [("IDENTITY_HASH_SECRET", SECRET)]).await;
    for user in ["alice", "alice@example.org", "ä b:c"] {
        let own = session(&service, user).await.json();
        assert_eq!((&own["token"], &own["identifier"]), (&json!(hash(user)), &json!(user)));
        assert_eq!((&own["identifier_hash"], &own["expiresAt"]), (&own["token"], &Value::Null));
    }
    assert_eq!(session(&service, "Alice").await.status, 422, "a widget may take her for alice");
    // What Chatwoot's own documentation would compute: 64 lower-case digits.
    assert_eq!(hash("alice").len(), 64);
    let plain = session(&service, "alice").await.json();
    let own = ["token", "expiresAt", "apiUrl", "chatUserId", "displayName", "identifier", "identifier_hash"];
    assert_eq!(members(&plain), own);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_signed_where_that_is_the_identity() {
    let lines = format!(
        "{URL}signed = \"email\"\nidentifier_member = \"email\"\nhash_member = \"signature\"\nwidget_id = \"b-1\"\n"
    );
    let service = start("identity-hash", &lines, [("IDENTITY_HASH_SECRET", SECRET)]).await;
    let own = session_of_alice(&service).await;
    assert_eq!(own["signature"], hash("alice@example.org"));
    assert_eq!((&own["email"], &own["widgetId"]), (&json!("alice@example.org"), &json!("b-1")));
    // Without an address there is nothing to sign, and nothing else is signed in its place.
    let answer = session(&service, "bob").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_bad_answer"));
}

#[test]
fn members_of_every_session_stay_what_they_are() {
    for lines in
        ["hash_member = \"chatUserId\"", "identifier_member = \"token\"", "identifier_member = \"identifier_hash\""]
    {
        let problem = refused("identity-hash", &format!("{URL}{lines}\n"), [("IDENTITY_HASH_SECRET", SECRET)]);
        assert!(problem.contains("response.extra"), "{problem}");
    }
    assert!(refused("identity-hash", URL, [("IDENTITY_HASH_SECRET", "short")]).contains("at least 16"));
}
