//! Official examples: signatures that others made with keys that others wrote down.

use super::*;
use crate::identity::keys::{Algorithm, jwks};

fn verifies(jwk: &Value, algorithm: Algorithm, token: &str) -> bool {
    let key = Key::of_jwk(jwk).expect("a key");
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    key.verifies(algorithm, message.as_bytes(), &BASE64URL.decode(signature).expect("base64url"))
}

/// RFC 7515, A.2, A.3; RFC 8037, A.4.
#[test]
fn the_examples_of_the_standards_verify() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rsa = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{payload}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let ec = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    for (jwk, algorithm, token) in
        [(&rsa, Algorithm::Rs256, &*rs256), (&ec, Algorithm::Es256, &*es256), (&ed, Algorithm::EdDsa, eddsa)]
    {
        assert!(verifies(jwk, algorithm, token), "{algorithm:?}");
        assert!(!verifies(jwk, algorithm, &token.replacen('.', "A.", 1)), "{algorithm:?}");
    }
}

/// T-26: what a set holds beside good keys is left out.
#[test]
fn keys_that_verify_nothing_are_left_out() {
    let (rsa, ec, ed) = (OURS.rsa_jwk(), OURS.ec_jwk(), OURS.ed_jwk());
    let with = |jwk: &Value, over: Value| {
        let mut jwk = jwk.clone();
        for (name, value) in over.as_object().expect("members") {
            jwk[name] = value.clone();
        }
        jwk
    };
    for good in [
        with(&rsa, json!({ "use": "sig", "alg": "RS256", "key_ops": ["verify"], "x5c": ["?"] })),
        with(&rsa, json!({ "n": part([&[0], OURS.modulus()].concat()) })),
        with(&ed, json!({ "alg": "EdDSA" })),
        with(&ed, json!({ "alg": "Ed25519" })),
        with(&rsa, json!({ "alg": null, "use": null, "key_ops": null, "kid": null, "d": null })),
        with(&ec, json!({ "alg": null, "use": null, "key_ops": null, "kid": null, "d": null })),
    ] {
        assert!(Key::of_jwk(&good).is_some(), "{good}");
    }
    let short = part(vec![0x81; 255]);
    for bad in [
        json!({ "kty": "oct", "k": part([7; 32]) }),
        json!({ "kty": "oct", "k": "", "alg": "HS256" }),
        json!([]),
        json!({}),
        with(&rsa, json!({ "use": "enc" })),
        with(&rsa, json!({ "use": 1 })),
        with(&rsa, json!({ "key_ops": ["sign"] })),
        with(&rsa, json!({ "key_ops": "verify" })),
        with(&rsa, json!({ "alg": "RSA-OAEP" })),
        with(&rsa, json!({ "alg": "HS256" })),
        with(&rsa, json!({ "alg": "ES256" })),
        with(&rsa, json!({ "n": short })),
        with(&rsa, json!({ "n": null })),
        with(&rsa, json!({ "n": "" })),
        with(&rsa, json!({ "e": "" })),
        with(&rsa, json!({ "e": "AQ" })),
        with(&rsa, json!({ "e": part([1; 33]) })),
        with(&rsa, json!({ "d": "AQAB" })),
        with(&rsa, json!({ "kid": 7 })),
        with(&rsa, json!({ "kid": "k".repeat(129) })),
        with(&ec, json!({ "crv": "P-384" })),
        with(&ec, json!({ "crv": "secp256k1" })),
        with(&ec, json!({ "alg": "ES384" })),
        with(&ec, json!({ "x": part([1; 32]), "y": part([1; 32]) })),
        with(&ec, json!({ "x": part([0; 32]), "y": part([0; 32]) })),
        with(&ec, json!({ "x": part([0; 31]) })),
        with(&ed, json!({ "x": part([0; 31]) })),
        with(&ed, json!({ "crv": "X25519" })),
        with(&ed, json!({ "crv": "Ed448" })),
    ] {
        assert!(Key::of_jwk(&bad).is_none(), "{bad}");
    }
}

/// T-26: sets that are too large, or no sets.
#[test]
fn sets_are_bounded() {
    let set = |keys: Vec<Value>| json!({ "keys": keys }).to_string();
    let read = |text: &str| jwks::read(text.as_bytes()).map(|keys| keys.len());
    assert_eq!(read(&set(OURS.jwks())), Ok(3));
    assert_eq!(read(&set(vec![OURS.ec_jwk(); 64])), Ok(64));
    assert_eq!(read(&set(vec![OURS.ec_jwk(); 65])), Err(jwks::Broken::TooMany));
    assert_eq!(read(&set(vec![json!({ "kty": "oct", "k": "AA" })])), Err(jwks::Broken::NoKey));
    assert_eq!(read(&set(Vec::new())), Err(jwks::Broken::NoKey));
    let short = json!({ "kty": "RSA", "n": part(vec![0x81; 128]), "e": "AQAB" });
    assert_eq!(read(&set(vec![short.clone()])), Err(jwks::Broken::Short));
    assert_eq!(read(&set(vec![short, OURS.ec_jwk()])), Ok(1));
    assert_eq!(read(&" ".repeat(256 * 1024 + 1)), Err(jwks::Broken::TooLarge));
    for text in
        ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, &"[".repeat(100_000), &format!("{{\"keys\":{}", "[".repeat(500))]
    {
        assert_eq!(read(text), Err(jwks::Broken::NotASet), "{}", text.get(..20).unwrap_or(text));
    }
}

#[test]
fn pem_holds_a_key_of_any_kind() {
    let pem = |der: &[u8]| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    let der = |key: Result<aws_lc_rs::encoding::PublicKeyX509Der<'_>, _>| {
        let key: Result<_, aws_lc_rs::error::Unspecified> = key;
        key.expect("DER").as_ref().to_vec()
    };
    for (der, alg, algorithm) in [
        (OURS.rsa_der(), "RS256", Algorithm::Rs256),
        (der(OURS.ec.public_key().as_der()), "ES256", Algorithm::Es256),
        (der(OURS.ed.public_key().as_der()), "EdDSA", Algorithm::EdDsa),
    ] {
        let key = Key::of_pem(Some("k"), pem(&der).as_bytes()).expect(alg);
        assert!(key.verifies(algorithm, b"m", &OURS.sign(alg, b"m")), "{alg}");
        assert_eq!(key.kid.as_deref(), Some("k"));
    }
    for text in ["", "x", &pem(b"x"), &pem(&[]), "-----BEGIN PUBLIC KEY-----"] {
        assert!(Key::of_pem(None, text.as_bytes()).is_err(), "{text}");
    }
}
