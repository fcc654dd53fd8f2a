//! JSON templates: a body or a claim set, compiled to literal bytes and slots.
//!
//! The text around the slots is serialised once, at load; what varies is written into it with JSON escaping, so a
//! display name can never become structure. Members whose value is optional are rolled back when it is absent.

mod build;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Absent, Datum, Expression, Scope, Variables};
use crate::decode::json;
use crate::definition::{Key, Mistake};
use build::Builder;

/// Levels of an object with names that vary at most.
const MOST_LEVELS: u8 = 64;

/// A compiled JSON value.
#[derive(Debug)]
pub(in crate::provider) struct JsonTemplate {
    pieces: Vec<Piece>,
    /// Bytes of the literals, as a first guess at the size of the result.
    literal_bytes: usize,
}

#[derive(Debug)]
enum Piece {
    /// Bytes as they are.
    Literal(Vec<u8>),
    /// A comma, unless an object or list was just opened.
    Comma,
    /// A value with its own type.
    Value(Expression, String),
    /// Text inside a string.
    InString(Expression, String),
    /// A member or item that is left out when one of its values is absent.
    Optional(Vec<Piece>),
    /// One value, or one member, for each item of a list.
    Each(Box<Each>),
    /// The JSON text of a value, as a string.
    Text(Vec<Piece>, Order),
    /// An object with names that vary. No two may be the same: of two members with one name, some readers take the first
    /// and some the last, and a user who is called like a claim would write it.
    Distinct(Vec<Piece>, String),
}

#[derive(Debug)]
struct Each {
    list: Expression,
    place: String,
    /// Pieces of a member's name; without it items of a list are written.
    key: Option<Vec<Piece>>,
    value: Vec<Piece>,
}

/// Order of members in JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// As written.
    Kept,
    /// Members and texts in lists sorted, as some providers want what they sign.
    Sorted,
}

/// A value that must be there is not; holds its place in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) struct MissingValue(pub(in crate::provider) String);

enum Stop<'t> {
    Drop,
    Missing(&'t str),
}

impl JsonTemplate {
    /// Compiles `value`, in which strings are templates. `place` names it in messages.
    pub(in crate::provider) fn compile(value: &Value, place: &Key, scope: &mut Scope) -> Result<Self, Mistake> {
        let mut builder = Builder::new(scope);
        builder.value(value, place)?;
        Ok(Self::of(builder.pieces))
    }

    /// Compiles an object.
    pub(in crate::provider) fn compile_object(
        members: &Map<String, Value>,
        place: &Key,
        scope: &mut Scope,
    ) -> Result<Self, Mistake> {
        let mut builder = Builder::new(scope);
        builder.object(members, place)?;
        Ok(Self::of(builder.pieces))
    }

    fn of(pieces: Vec<Piece>) -> Self {
        let literal_bytes = length(&pieces);
        Self { pieces, literal_bytes }
    }

    /// The value for one mint.
    pub(in crate::provider) fn value(&self, variables: &Variables<'_>) -> Result<Value, MissingValue> {
        let mut out = Vec::with_capacity(self.size_hint());
        self.render(variables, &mut out)?;
        serde_json::from_slice(&out).map_err(|_error| MissingValue("a value that is not JSON".to_owned()))
    }

    /// Bytes that a result has at least, roughly.
    pub(in crate::provider) fn size_hint(&self) -> usize {
        self.literal_bytes + 128
    }

    /// Writes the value for one mint to the end of `out`.
    pub(in crate::provider) fn render(&self, variables: &Variables<'_>, out: &mut Vec<u8>) -> Result<(), MissingValue> {
        let there = self.render_optional(variables, out)?;
        if there { Ok(()) } else { Err(MissingValue("an optional value where one is required".to_owned())) }
    }

    /// The same for a template that may be absent as a whole; says whether it is there.
    pub(in crate::provider) fn render_optional(
        &self,
        variables: &Variables<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, MissingValue> {
        match render(&self.pieces, variables, out) {
            Ok(()) => Ok(true),
            Err(Stop::Missing(place)) => Err(MissingValue(place.to_owned())),
            // The builder puts every optional value into an `Optional` piece, save one that is the whole template.
            Err(Stop::Drop) => Ok(false),
        }
    }
}

fn length(pieces: &[Piece]) -> usize {
    let of = |piece: &Piece| match piece {
        Piece::Literal(bytes) => bytes.len(),
        Piece::Optional(inner) | Piece::Text(inner, _) | Piece::Distinct(inner, _) => length(inner),
        Piece::Each(each) => 4 * length(&each.value),
        Piece::Comma | Piece::Value(..) | Piece::InString(..) => 1,
    };
    pieces.iter().map(of).sum()
}

fn render<'t>(pieces: &'t [Piece], variables: &Variables<'_>, out: &mut Vec<u8>) -> Result<(), Stop<'t>> {
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Comma => {
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    out.push(b',');
                }
            }
            Piece::Value(expression, place) => match expression.value(variables) {
                Ok(datum) => write_value(&datum, out),
                Err(absent) => return Err(stop(&absent, place)),
            },
            Piece::InString(expression, place) => match expression.value(variables) {
                Ok(datum) => write_in_string(&datum, out),
                Err(absent) => return Err(stop(&absent, place)),
            },
            Piece::Optional(inner) => {
                let start = out.len();
                match render(inner, variables, out) {
                    Err(Stop::Drop) => out.truncate(start),
                    other => other?,
                }
            }
            Piece::Each(each) => each.render(variables, out)?,
            Piece::Text(inner, order) => {
                let mut text = Vec::with_capacity(length(inner) + 64);
                render(inner, variables, &mut text)?;
                serialise(&order.apply(text), out);
            }
            Piece::Distinct(inner, place) => {
                let start = out.len();
                render(inner, variables, out)?;
                if json::object(out.get(start..).unwrap_or_default(), MOST_LEVELS).is_err() {
                    return Err(Stop::Missing(place));
                }
            }
        }
    }
    Ok(())
}

impl Each {
    fn render<'t>(&'t self, variables: &Variables<'_>, out: &mut Vec<u8>) -> Result<(), Stop<'t>> {
        let list = self.list.value(variables).map_err(|absent| stop(&absent, &self.place))?;
        let items = list.items().ok_or(Stop::Missing(&self.place))?;
        out.push(if self.key.is_some() { b'{' } else { b'[' });
        let mut seen = BTreeSet::new();
        for item in &items {
            let variables = Variables { item: Some(item), ..*variables };
            let start = out.len();
            if !matches!(out.last(), Some(b'{' | b'[')) {
                out.push(b',');
            }
            match self.item(&variables, out, &mut seen) {
                Err(Stop::Drop) => out.truncate(start),
                other => other?,
            }
        }
        out.push(if self.key.is_some() { b'}' } else { b']' });
        Ok(())
    }

    fn item<'t>(
        &'t self,
        variables: &Variables<'_>,
        out: &mut Vec<u8>,
        seen: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), Stop<'t>> {
        if let Some(key) = &self.key {
            let start = out.len();
            render(key, variables, out)?;
            // Two items may come to the same name; the first one counts. Equal names are escaped alike.
            if !seen.insert(out.get(start..).unwrap_or_default().to_vec()) {
                return Err(Stop::Drop);
            }
        }
        render(&self.value, variables, out)
    }
}

impl Order {
    fn apply(self, text: Vec<u8>) -> String {
        let text = String::from_utf8(text).unwrap_or_default();
        match self {
            Self::Kept => text,
            Self::Sorted => match serde_json::from_str::<Value>(&text) {
                Ok(value) => sorted(value).to_string(),
                Err(_) => text,
            },
        }
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(mut items) => {
            if items.iter().all(Value::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            Value::Array(items)
        }
        other => other,
    }
}

fn stop<'t>(absent: &Absent, place: &'t str) -> Stop<'t> {
    match absent {
        Absent::Optional => Stop::Drop,
        Absent::Required => Stop::Missing(place),
    }
}

fn write_value(datum: &Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Text(text) => {
            out.push(b'"');
            escape(text, out);
            out.push(b'"');
        }
        Datum::Number(number) => write_number(*number, out),
        Datum::List(list) => serialise(list, out),
        Datum::Json(value) => serialise(value.as_ref(), out),
    }
}

fn write_in_string(datum: &Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Text(text) => escape(text, out),
        Datum::Number(number) => write_number(*number, out),
        Datum::Json(value) => match value.as_ref() {
            Value::String(text) => escape(text, out),
            other => escape(&other.to_string(), out),
        },
        Datum::List(list) => escape(&list.join(","), out),
    }
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    serialise(&number, out);
}

fn serialise<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "text, numbers and JSON values can be written to memory");
}

/// JSON string escaping (RFC 8259, section 7), without the quotes.
fn escape(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let quoted = serde_json::to_string(text).unwrap_or_default();
    out.extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::{Profile, UserId};
    use super::*;
    use crate::clock::Timestamp;

    fn scope() -> Scope {
        Scope {
            settings: [("issuer".to_owned(), json!("me")), ("limit".to_owned(), json!(7))].into(),
            unset: ["app".to_owned()].into(),
            secrets: ["api_key".to_owned()].into(),
            ..Scope::default()
        }
    }

    fn render_with(template: &Value, profile: &Profile<'_>) -> Result<String, MissingValue> {
        let template = JsonTemplate::compile(template, &"json".into(), &mut scope()).expect("compiles");
        let mut out = Vec::new();
        let user = UserId::plain("u1");
        let variables = Variables {
            now: Timestamp::from_millis(1_000_500),
            ttl: Duration::from_secs(60),
            ..Variables::of(&user, profile)
        };
        template.render(&variables, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn alice() -> Profile<'static> {
        Profile { subject: "alice", name: Some("A \"quoted\"\nname"), groups: vec!["a", "b"], ..Profile::default() }
    }

    #[test]
    fn one_expression_keeps_its_type_and_text_around_it_makes_a_string() {
        let template =
            json!({"a": "{{ exp.s }}", "b": "x{{ exp.s }}", "c": "{{ user.groups }}", "d": 1, "e": [true, null]});
        assert_eq!(
            render_with(&template, &alice()).expect("rendered"),
            r#"{"a":1060,"b":"x1060","c":["a","b"],"d":1,"e":[true,null]}"#
        );
    }

    #[test]
    fn nothing_a_user_sends_becomes_structure() {
        let template = json!({"n": "{{ user.name }}", "{{ user.name }}": "<{{ user.name }}>"});
        assert_eq!(
            render_with(&template, &alice()).expect("rendered"),
            r#"{"n":"A \"quoted\"\nname","A \"quoted\"\nname":"<A \"quoted\"\nname>"}"#
        );
    }

    #[test]
    fn optional_values_drop_their_member_wherever_it_stands() {
        let absent = Profile { subject: "bob", ..Profile::default() };
        let template = json!({
            "first": "{{ user.email? }}", "second": "mail:{{ user.email? }}", "third": {"only": "{{ user.email? }}"},
            "list": ["{{ user.email? }}", "{{ user.id }}", "{{ user.avatar? }}"], "last": "{{ user.name? }}"
        });
        assert_eq!(render_with(&template, &absent).expect("rendered"), r#"{"third":{},"list":["u1"]}"#);
        let present = Profile { email: Some("b@c"), name: Some("B"), avatar: Some("p"), ..absent };
        assert_eq!(
            render_with(&template, &present).expect("rendered"),
            r#"{"first":"b@c","second":"mail:b@c","third":{"only":"b@c"},"list":["b@c","u1","p"],"last":"B"}"#
        );
    }

    #[test]
    fn a_missing_required_value_names_its_member() {
        let template = json!({"claims": {"mail": "{{ user.email }}"}});
        assert_eq!(render_with(&template, &alice()), Err(MissingValue("json.claims.mail".to_owned())));
    }

    #[test]
    fn a_text_of_the_wrong_length_is_refused_and_neither_cut_nor_left_out() {
        let profile = |name| Profile { subject: "bob", name, ..Profile::default() };
        for text in ["{{ user.name | bytes(2, 4) }}", "{{ user.name | bytes(2, 4)? }}"] {
            let render = |name| render_with(&json!({ "n": text }), &profile(Some(name)));
            assert_eq!(render("üü").expect("rendered"), r#"{"n":"üü"}"#);
            for name in ["a", "üüü", "abcde"] {
                assert_eq!(render(name), Err(MissingValue("json.n".to_owned())), "{text}: {name}");
            }
        }
        let optional = json!({ "n": "{{ user.name | bytes(2, 4)? }}" });
        assert_eq!(render_with(&optional, &profile(None)).expect("rendered"), "{}");
        let fixed = JsonTemplate::compile(&json!("{{ config.issuer | bytes(3, 9) }}"), &"json".into(), &mut scope());
        assert_eq!(
            fixed.expect_err("refused").to_string(),
            "json: \"config.issuer | bytes(3, 9)\": has too few or too many bytes"
        );
    }

    #[test]
    fn the_operator_s_table_adds_to_the_definition_s_members_and_changes_none() {
        let with = |own: Option<Value>| {
            let mut scope = scope();
            scope.settings.extend(own.map(|own| ("extra".to_owned(), own)));
            scope.unset.insert("extra".to_owned());
            let template =
                json!({ "p": { "setting": "extra", "with": { "id": "{{ user.id }}", "mail": "{{ user.email? }}" } } });
            JsonTemplate::compile(&template, &"json".into(), &mut scope)
        };
        let rendered = |own| {
            let (user, profile) = (UserId::plain("u1"), Profile::default());
            with(own).map(|template| template.value(&Variables::of(&user, &profile)).expect("rendered").to_string())
        };
        assert_eq!(rendered(None).expect("compiles"), r#"{"p":{"id":"u1"}}"#);
        assert_eq!(rendered(Some(json!({}))).expect("compiles"), r#"{"p":{"id":"u1"}}"#);
        let own = json!({ "a": "{{ user.email? }}", "b": { "setting": "<{{ user.id }}>" }, "c": 1 });
        assert_eq!(rendered(Some(own)).expect("compiles"), r#"{"p":{"id":"u1","b":{"setting":"<u1>"},"c":1}}"#);
        for (own, problem) in [
            (json!({ "id": 1 }), "extra: holds \"id\", which the definition sets; remove it"),
            (
                json!({ "{{ user.name }}": 1 }),
                "extra: holds \"{{ user.name }}\": a name that varies could be one that the definition sets",
            ),
            (json!(7), "extra: is no table"),
        ] {
            assert_eq!(with(Some(own)).expect_err("refused").to_string(), problem);
        }
    }

    fn named(template: &Value, name: &str, groups: &[&str]) -> Result<String, MissingValue> {
        let profile = Profile { subject: "s", name: Some(name), groups: groups.to_vec(), ..Profile::default() };
        render_with(template, &profile)
    }

    #[test]
    fn a_user_who_is_called_like_a_member_does_not_write_it() {
        let template = json!({"o": {"role": "member", "{{ user.name }}": "admin"}});
        assert_eq!(named(&template, "x", &[]).expect("rendered"), r#"{"o":{"role":"member","x":"admin"}}"#);
        assert_eq!(named(&template, "role", &[]), Err(MissingValue("json.o".to_owned())));
        let escaped = json!({"a\"b": 1, "{{ user.name }}": 2});
        assert!(named(&escaped, "a\"b", &[]).is_err());
        assert!(named(&json!({"s": 1, "{{ 's' }}": 2}), "x", &[]).is_err());
    }

    #[test]
    fn of_two_items_with_one_name_the_first_counts() {
        let template = json!({"each": "user.groups", "as": "g", "key": "{{ g | lower }}", "value": "{{ g }}"});
        assert_eq!(named(&template, "x", &["A", "b", "a", "b"]).expect("rendered"), r#"{"a":"A","b":"b"}"#);
    }

    #[test]
    fn constants_are_folded_into_the_literal() {
        let template = json!({"iss": "{{ config.issuer }}", "n": "{{ config.limit }}", "t": "<{{ config.issuer | upper }}>", "gone": "{{ config.app? }}"});
        let compiled = JsonTemplate::compile(&template, &"json".into(), &mut scope()).expect("compiles");
        assert_eq!(compiled.pieces.len(), 1, "{:?}", compiled.pieces);
        assert_eq!(render_with(&template, &alice()).expect("rendered"), r#"{"iss":"me","n":7,"t":"<ME>"}"#);
    }

    #[test]
    fn rich_expressions_and_shifted_times_work() {
        let template = json!({
            "iat": "{{ now.s - 5 }}", "ms": "{{ exp.ms + 1 }}", "who": "{{ user.email | default(user.id) | upper }}",
            "g": "{{ user.groups | join('+') }}"
        });
        assert_eq!(
            render_with(&template, &alice()).expect("rendered"),
            r#"{"iat":995,"ms":1060001,"who":"U1","g":"a+b"}"#
        );
    }

    #[test]
    fn lists_and_maps_are_made_of_groups() {
        let template = json!({
            "list": {"each": "user.groups", "as": "g", "value": "team:{{ g }}"},
            "map": {"each": "user.groups", "as": "g", "key": "room:{{ g }}:*", "value": ["read", "{{ g | upper }}"]},
            "none": {"each": "user.groups?", "as": "g", "value": "{{ g }}"},
        });
        assert_eq!(
            render_with(&template, &alice()).expect("rendered"),
            r#"{"list":["team:a","team:b"],"map":{"room:a:*":["read","A"],"room:b:*":["read","B"]},"none":["a","b"]}"#
        );
        let plain = Profile { subject: "s", ..Profile::default() };
        assert_eq!(render_with(&template, &plain).expect("rendered"), r#"{"list":[],"map":{}}"#);
    }

    #[test]
    fn json_text_is_a_string_of_the_same_bytes() {
        let template = json!({"kept": {"json_text": {"b": "{{ user.name }}", "a": [2, 1]}},
            "sorted": {"json_text": {"b": ["y", "x"], "a": "{{ user.id }}"}, "sorted": true},
            "gone": {"json_text": {"b": "x"}}});
        let text = render_with(&template, &alice()).expect("rendered");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["kept"], "{\"b\":\"A \\\"quoted\\\"\\nname\",\"a\":[2,1]}");
        assert_eq!(value["sorted"], "{\"a\":\"u1\",\"b\":[\"x\",\"y\"]}");
    }

    #[test]
    fn an_operators_table_is_put_in_and_its_templates_count() {
        let mut scope = scope();
        scope
            .settings
            .insert("claims".to_owned(), json!({"role": "{{ user.groups | first }}", "table": {"setting": "x"}}));
        let template =
            JsonTemplate::compile(&json!({"c": {"setting": "claims"}}), &"json".into(), &mut scope).expect("compiles");
        let (user, profile) = (UserId::plain("u1"), alice());
        let value = template.value(&Variables::of(&user, &profile)).expect("a value");
        assert_eq!(value, json!({"c": {"role": "a", "table": {"setting": "x"}}}));
    }

    #[test]
    fn mistakes_are_found_at_load_and_named() {
        for (template, part) in [
            (json!("{{ user.nmae }}"), "unknown variable \"user.nmae\""),
            (json!({"a": "{{ user.nmae | default('x') }}"}), "json.a"),
            (json!("{{ secret.api_key }}"), "is a secret"),
            (json!("{{ config.api_key }}"), "is a secret"),
            (json!("{{ config.api_key | upper }}"), "is a secret"),
            (json!("{{ config.nothing }}"), "no setting \"nothing\""),
            (json!("{{ user.id"), "without"),
            (json!("user.id }}"), "without"),
            (json!("{{ user.id | explode }}"), "explode"),
            (json!("{{ user.id - 5 }}"), "only now and exp"),
            (json!("{{ }}"), "expression"),
        ] {
            let error = JsonTemplate::compile(&template, &"json".into(), &mut scope()).expect_err(part);
            assert!(error.to_string().contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn uses_of_the_profile_are_noted() {
        let mut scope = scope();
        JsonTemplate::compile(
            &json!({"a": "{{ user.email | lower }}", "b": "{{ user.id }}"}),
            &"json".into(),
            &mut scope,
        )
        .expect("compiles");
        assert!(scope.uses.email && !scope.uses.name && !scope.uses.groups);
    }

    proptest::proptest! {
        /// Whatever is in the values, the result is JSON that says exactly those values.
        #[test]
        fn values_come_back_as_they_went_in(name in ".*", email in proptest::option::of(".+"), avatar in proptest::option::of(".+")) {
            let profile = Profile { subject: "s", name: Some(&name), email: email.as_deref(), avatar: avatar.as_deref(), ..Profile::default() };
            let template = json!({"e": "{{ user.email? }}", "n": "{{ user.name }}", "x": "<{{ user.name }}|{{ user.avatar? }}>", "o": {"a": "{{ user.avatar? }}"}});
            let text = render_with(&template, &profile).expect("rendered");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            proptest::prop_assert_eq!(value["n"].as_str(), Some(name.as_str()));
            proptest::prop_assert_eq!(value["e"].as_str(), email.as_deref());
            proptest::prop_assert_eq!(value["o"]["a"].as_str(), avatar.as_deref());
            let mixed = avatar.as_ref().map(|avatar| format!("<{name}|{avatar}>"));
            proptest::prop_assert_eq!(value["x"].as_str(), mixed.as_deref());
        }
    }
}
