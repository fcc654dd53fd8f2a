//! The engine behind expressions that are more than a name, and the functions they may call.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use md5::{Digest as _, Md5};
use minijinja::value::Rest;
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters};

use crate::provider::keys::nkey;

/// Functions of a value. Of nothing they make nothing, so that a required value that is missing is missed, and is not an
/// empty text. They are called by their last word; what is listed here cannot be written in an expression.
const OF_VALUES: [&str; 16] = [
    "of lower",
    "of upper",
    "of trim",
    "of replace",
    "of split",
    "of join",
    "of first",
    "of last",
    "of slice",
    "of hex",
    "of b64",
    "of b64url",
    "of sha256",
    "of sha1",
    "of md5",
    "of string",
];

/// Names of all functions, for messages.
pub(super) fn names() -> String {
    let others = ["bytes", "default", "nkey"];
    OF_VALUES.iter().map(|own| own.trim_start_matches("of ")).chain(others).collect::<Vec<_>>().join(", ")
}

/// One for the process, because a compiled expression borrows it.
pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.add_filter("default", filters::default);
    engine.add_filter("of lower", filters::lower);
    engine.add_filter("of upper", filters::upper);
    engine.add_filter("of trim", filters::trim);
    engine.add_filter("of replace", filters::replace);
    engine.add_filter("of split", filters::split);
    engine.add_filter("of join", filters::join);
    engine.add_filter("of first", filters::first);
    engine.add_filter("of last", filters::last);
    engine.add_filter("of slice", filters::slice);
    engine.add_filter("of string", filters::string);
    engine.add_filter("of hex", |text: String| hex(text.as_bytes()));
    engine.add_filter("of b64", |text: String| BASE64.encode(text));
    engine.add_filter("of b64url", |text: String| BASE64URL.encode(text));
    engine.add_filter("of sha256", |text: String| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()));
    engine.add_filter("of sha1", |text: String| {
        hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
    });
    // A checksum that some providers ask for; nothing is proven by it. Of no body there is none.
    engine.add_filter("of md5", |text: String| match text.as_str() {
        "" => Value::UNDEFINED,
        text => Value::from(hex(&Md5::digest(text))),
    });
    engine.add_filter("bytes", bytes);
    engine.add_filter("nkey", |text: String| {
        nkey::public(nkey::USER, digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    });
    for own in OF_VALUES {
        engine.add_filter(own.trim_start_matches("of "), move |state: &State<'_, '_>, given: Rest<Value>| {
            if given.first().is_some_and(Value::is_undefined) {
                Ok(Value::UNDEFINED)
            } else {
                state.apply_filter(own, &given)
            }
        });
    }
    engine
});

/// What the engine says of a text that is too short or too long.
pub(super) const MISFIT: &str = "has too few or too many bytes";

/// The text as it is, if it has so many bytes. What a provider cannot take is refused and never cut.
fn bytes(value: Value, least: usize, most: usize) -> Result<Value, Error> {
    let fits = match value.as_str() {
        Some(text) => (least..=most).contains(&text.len()),
        None => value.is_undefined() || value.is_none(),
    };
    if fits { Ok(value) } else { Err(Error::new(ErrorKind::InvalidOperation, MISFIT)) }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nkey_is_the_public_key_of_a_user_made_of_a_hash() {
        let of = |text: &str| {
            let expression = ENGINE.compile_expression("text | nkey").expect("compiles");
            let value = expression.eval(minijinja::context! { text }).expect("a value");
            value.as_str().expect("text").to_owned()
        };
        // By Python: "U", SHA-256 of the text and CRC-16, in base32.
        assert_eq!(of("alice"), "UAV5QBWJP4HABLY2D7BTFD5HMOUSNFZDZDNY7LCPSOXXDWYYNVXJAYZP");
        assert_ne!(of("alice"), of("Alice"));
    }
}
