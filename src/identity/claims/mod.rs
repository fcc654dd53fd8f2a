//! Claims: one reader of their JSON, one window of time, and one way from them to a user. A token, a payload, the metadata
//! of a proxy and a body differ in their envelope, which each opens itself.

mod principal;
mod profile;
mod window;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::decode::json;

pub(super) use profile::{ClaimNames, Groups, signed};
pub(super) use window::{Expiry, Validity, Window, time_of};

/// Claims by name.
pub(super) type Claims = Map<String, Value>;

/// Levels of lists and objects in claims at most.
const MOST_LEVELS: u8 = 16;

/// The members of a JSON object; `None` where the text is no object, or can be read in two ways.
pub(super) fn object(text: &[u8]) -> Option<Claims> {
    json::object(text, MOST_LEVELS).ok()
}

/// How a payload lists its claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PayloadForm {
    /// The members of an object, as in a JWT.
    #[default]
    Claims,
    /// Pairs of type and value, as in Azure's `X-MS-CLIENT-PRINCIPAL`.
    Principal,
}

/// The text of a claim.
pub(super) fn text_of<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name)?.as_str()
}

impl PayloadForm {
    /// The claims in the JSON text of a payload.
    pub(super) fn read(self, text: &[u8]) -> Option<Claims> {
        let members = object(text)?;
        match self {
            Self::Claims => Some(members),
            Self::Principal => principal::claims(members),
        }
    }
}

/// Where a claim is: its name, and a JSON pointer (RFC 6901) into its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    name: String,
    within: String,
}

impl Path {
    /// A claim's name as it is; or, with a slash before it, a JSON pointer into what claims hold. `None` where a part of it
    /// is empty, or there are more than four.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(pointer) = text.strip_prefix('/') else {
            return (!text.is_empty()).then(|| Self { name: text.to_owned(), within: String::new() });
        };
        if pointer.split('/').count() > 4 || pointer.split('/').any(str::is_empty) {
            return None;
        }
        let (name, within) = pointer.find('/').and_then(|at| pointer.split_at_checked(at)).unwrap_or((pointer, ""));
        Some(Self { name: name.replace("~1", "/").replace("~0", "~"), within: within.to_owned() })
    }

    /// The value there; null is none.
    pub(super) fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        claims.get(&self.name)?.pointer(&self.within).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = json!({ "sub": "alice", "no": null, "https://x/y": "url", "a~1b": 1,
            "realm": { "roles": ["r"], "a/b": { "c": "d" } } });
        let claims = claims.as_object().expect("claims");
        for (path, expected) in [
            ("sub", Some(json!("alice"))),
            ("/sub", Some(json!("alice"))),
            ("https://x/y", Some(json!("url"))),
            ("a~1b", Some(json!(1))),
            ("/realm/roles", Some(json!(["r"]))),
            ("/realm/a~1b/c", Some(json!("d"))),
            ("no", None),
            ("other", None),
            ("/realm/other", None),
            ("/sub/x", None),
        ] {
            assert_eq!(Path::parse(path).expect("a path").find(claims), expected.as_ref(), "{path}");
        }
        for wrong in ["", "/", "/a/", "//a", "/a/b/c/d/e"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        /// No text makes the readers panic.
        #[test]
        fn any_text_is_claims_or_not(text in "\\PC{0,80}", path in "/?[a-c~0-1/]{0,6}") {
            for form in [PayloadForm::Claims, PayloadForm::Principal] {
                if let (Some(claims), Some(path)) = (form.read(text.as_bytes()), Path::parse(&path)) {
                    let _any = (path.find(&claims), time_of(&claims, "exp"));
                }
            }
        }
    }
}
