//! The claims in a payload, whichever way it lists them.

pub(super) mod json;
pub(super) mod profile;
pub(super) mod reader;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::identity::request::encoding::{Texts, Undecodable};

/// How a payload lists its claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::identity) enum Form {
    /// The members of an object, as in a JWT.
    #[default]
    Claims,
    /// Pairs of type and value, of which types may repeat, as in Azure's `X-MS-CLIENT-PRINCIPAL`.
    Principal,
}

/// A claim is there, but is not one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) struct NotText;

/// The claims of one payload.
pub(in crate::identity) enum Claims {
    Members(Map<String, Value>),
    Pairs(Principal),
}

/// What Azure sends.
pub(in crate::identity) struct Principal {
    name_typ: Option<String>,
    role_typ: Option<String>,
    pairs: Vec<Pair>,
}

/// A claim with its type. Values are texts, but for those that a provider of identity gave another type.
struct Pair {
    typ: String,
    val: Value,
}

impl Claims {
    /// Reads the JSON text of a payload.
    pub(in crate::identity) fn parse(text: &str, form: Form) -> Result<Self, Undecodable> {
        let members = json::object(text)?;
        match form {
            Form::Claims => Ok(Self::Members(members)),
            Form::Principal => Principal::of(members).map(Self::Pairs).ok_or(Undecodable),
        }
    }

    /// The one text of a claim; `None` when it is absent, null or empty.
    pub(in crate::identity) fn text(&self, claim: &str) -> Result<Option<&str>, NotText> {
        let text = match self {
            Self::Members(members) => match find(members, claim) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.as_str()),
                Some(_) => return Err(NotText),
            },
            Self::Pairs(principal) => {
                let mut values = principal.values(claim);
                let first = values.next();
                // Which of two is meant is nobody's to guess.
                if values.next().is_some() {
                    return Err(NotText);
                }
                first.map(|value| value.as_str().ok_or(NotText)).transpose()?
            }
        };
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    /// Every text of a claim that may be a list.
    pub(in crate::identity) fn texts(&self, claim: &str) -> Option<Texts<'_>> {
        let list: Vec<_> = match self {
            Self::Members(members) => match find(members, claim)? {
                Value::String(text) => return Some(Texts::One(Cow::Borrowed(text))),
                Value::Array(list) => list.iter().filter_map(Value::as_str).map(Cow::Borrowed).collect(),
                _ => return None,
            },
            Self::Pairs(principal) => principal.values(claim).filter_map(Value::as_str).map(Cow::Borrowed).collect(),
        };
        (!list.is_empty()).then_some(Texts::List(list))
    }

    /// Whether a claim says yes.
    pub(in crate::identity) fn is_true(&self, claim: &str) -> bool {
        match self {
            Self::Members(members) => match find(members, claim) {
                Some(Value::Bool(yes)) => *yes,
                Some(Value::String(text)) => text == "true",
                _ => false,
            },
            Self::Pairs(principal) => {
                let mut values = principal.values(claim);
                let yes = values.next().is_some_and(|value| *value == Value::Bool(true) || value == "true");
                yes && values.next().is_none()
            }
        }
    }

    /// A point in time, in seconds since 1970. `Ok(None)` when the claim is absent.
    pub(in crate::identity) fn seconds(&self, claim: &str) -> Result<Option<Duration>, NotText> {
        let Self::Members(members) = self else { return Ok(None) };
        let Some(value) = find(members, claim) else { return Ok(None) };
        let seconds = value.as_f64().ok_or(NotText)?;
        Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| NotText)
    }
}

impl fmt::Debug for Claims {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// A member by name, or by JSON pointer where the name begins with a slash.
fn find<'c>(members: &'c Map<String, Value>, claim: &str) -> Option<&'c Value> {
    let Some(pointer) = claim.strip_prefix('/') else { return members.get(claim) };
    let (first, below) = pointer.split_once('/').map_or((pointer, None), |(first, below)| (first, Some(below)));
    let value = members.get(&first.replace("~1", "/").replace("~0", "~"))?;
    below.map_or(Some(value), |below| value.pointer(&format!("/{below}")))
}

impl Principal {
    /// One odd claim costs that claim: what is not a pair is passed over. A payload without a list is no principal.
    fn of(mut members: Map<String, Value>) -> Option<Self> {
        let Value::Array(claims) = members.remove("claims")? else { return None };
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (name_typ, role_typ) = (text("name_typ"), text("role_typ"));
        let pair = |claim: Value| match claim {
            Value::Object(mut claim) => match (claim.remove("typ"), claim.remove("val")) {
                (Some(Value::String(typ)), Some(val)) if !val.is_null() => Some(Pair { typ, val }),
                _ => None,
            },
            _ => None,
        };
        Some(Self { name_typ, role_typ, pairs: claims.into_iter().filter_map(pair).collect() })
    }

    /// The values of a type. `name_typ` and `role_typ` stand for the types that the payload names so.
    fn values(&self, claim: &str) -> impl Iterator<Item = &Value> {
        let wanted = match claim {
            "name_typ" => self.name_typ.clone(),
            "role_typ" => self.role_typ.clone(),
            claim => Some(claim.to_owned()),
        };
        let is = move |pair: &&Pair| wanted.as_ref().is_some_and(|wanted| pair.typ == *wanted);
        self.pairs.iter().filter(is).map(|pair| &pair.val)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: &str = r#"{"auth_typ":"aad","name_typ":"mail","role_typ":"roles","claims":[
        {"typ":"oid","val":"1"},{"typ":"mail","val":"a@b"},{"typ":"roles","val":"x"},{"typ":"roles","val":"y"},
        {"typ":"empty","val":" "}]}"#;

    fn list<'t>(texts: &[&'t str]) -> Texts<'t> {
        Texts::List(texts.iter().map(|text| Cow::Borrowed(*text)).collect())
    }

    #[test]
    fn members_are_found_by_name_and_by_pointer() {
        let text = r#"{"sub":"alice","n":1,"no":null,"blank":" ","list":["a",1,"b"],"https://x/y":"url",
            "realm":{"roles":["r"],"a/b":{"c":"d"}},"yes":true,"yes_text":"true","no_text":"True"}"#;
        let claims = Claims::parse(text, Form::Claims).expect("claims");
        for (claim, expected) in [
            ("sub", Ok(Some("alice"))),
            ("/sub", Ok(Some("alice"))),
            ("https://x/y", Ok(Some("url"))),
            ("/realm/a~1b/c", Ok(Some("d"))),
            ("no", Ok(None)),
            ("blank", Ok(None)),
            ("other", Ok(None)),
            ("/realm/other", Ok(None)),
            ("n", Err(NotText)),
            ("list", Err(NotText)),
            ("realm", Err(NotText)),
        ] {
            assert_eq!(claims.text(claim), expected, "{claim}");
        }
        assert_eq!(claims.texts("list"), Some(list(&["a", "b"])));
        assert_eq!(claims.texts("/realm/roles"), Some(list(&["r"])));
        assert_eq!(claims.texts("sub"), Some(Texts::One(Cow::Borrowed("alice"))));
        assert_eq!(claims.texts("n"), None);
        assert!(claims.is_true("yes") && claims.is_true("yes_text"));
        assert!(!claims.is_true("no_text") && !claims.is_true("n") && !claims.is_true("other"));
    }

    #[test]
    fn times_are_numbers() {
        let text = r#"{"exp":1777920000,"half":1.5,"text":"1777920000","past":-1,"far":1e300,"null":null}"#;
        let claims = Claims::parse(text, Form::Claims).expect("claims");
        assert_eq!(claims.seconds("exp"), Ok(Some(Duration::from_secs(1_777_920_000))));
        assert_eq!(claims.seconds("half"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(claims.seconds("other"), Ok(None));
        for wrong in ["text", "past", "far", "null"] {
            assert_eq!(claims.seconds(wrong), Err(NotText), "{wrong}");
        }
    }

    #[test]
    fn pairs_are_found_by_type() {
        let claims = Claims::parse(PRINCIPAL, Form::Principal).expect("claims");
        assert_eq!(claims.text("oid"), Ok(Some("1")));
        assert_eq!(claims.text("name_typ"), Ok(Some("a@b")));
        assert_eq!(claims.texts("role_typ"), Some(list(&["x", "y"])));
        assert_eq!(claims.texts("oid"), Some(list(&["1"])));
        assert_eq!(claims.text("roles"), Err(NotText), "two values are not one");
        assert_eq!(claims.text("empty"), Ok(None));
        assert_eq!(claims.text("auth_typ"), Ok(None), "only claims are claims");
        for wrong in ["{}", r#"{"claims":{}}"#, r#"{"claims":null}"#, r#"[{"typ":"a","val":"b"}]"#] {
            assert!(Claims::parse(wrong, Form::Principal).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_odd_pair_costs_itself() {
        let text = r#"{"name_typ":1,"role_typ":"roles","claims":[{"typ":"name","val":"J"},{"typ":"roles","val":"x"},
            {"typ":"n","val":1},{"typ":"b","val":true},{"typ":"z","val":null},{"typ":"o","val":{}},{"typ":"l","val":[]},
            {"typ":2,"val":"a"},{"typ":null,"val":"a"},{"val":"a"},{"typ":"a"},null,7,"a",[],
            {"typ":"roles","val":9},{"typ":"roles","val":"y"},{"typ":"name","val":null}]}"#;
        let claims = Claims::parse(text, Form::Principal).expect("claims");
        assert_eq!(claims.text("name"), Ok(Some("J")), "null is nothing");
        assert_eq!(claims.texts("role_typ"), Some(list(&["x", "y"])));
        assert_eq!((claims.text("z"), claims.text("a"), claims.text("name_typ")), (Ok(None), Ok(None), Ok(None)));
        for odd in ["n", "b", "o", "l"] {
            assert_eq!(claims.text(odd), Err(NotText), "{odd}: not a text, and not passed over for another claim");
        }
        assert!(claims.is_true("b") && !claims.is_true("n") && !claims.is_true("name"));
    }

    proptest::proptest! {
        /// No text makes the readers panic.
        #[test]
        fn any_text_is_claims_or_not(text in "\\PC{0,80}", claim in "/?[a-c~0-1/]{0,6}") {
            for form in [Form::Claims, Form::Principal] {
                if let Ok(claims) = Claims::parse(&text, form) {
                    let _any = (claims.text(&claim), claims.texts(&claim), claims.seconds(&claim), claims.is_true(&claim));
                }
            }
        }
    }
}
