//! JSON templates: a body or a claim set, compiled to literal bytes and slots.
//!
//! The text around the slots is serialised once, at load; what varies is written into it with JSON escaping, so a
//! display name can never become structure. Members whose value is optional are rolled back when it is absent.

use serde_json::{Map, Value};

use super::{Absent, Datum, Expression, Part, Scope, TemplateError, Variables, split};

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
    pub(in crate::provider) fn compile(value: &Value, place: &str, scope: &mut Scope) -> Result<Self, TemplateError> {
        let mut builder = Builder { pieces: Vec::new(), scope };
        builder.value(value, place)?;
        let pieces = builder.pieces;
        let literal_bytes = length(&pieces);
        Ok(Self { pieces, literal_bytes })
    }

    /// Compiles an object.
    pub(in crate::provider) fn compile_object(
        members: &Map<String, Value>,
        place: &str,
        scope: &mut Scope,
    ) -> Result<Self, TemplateError> {
        let mut builder = Builder { pieces: Vec::new(), scope };
        builder.object(members, place)?;
        let pieces = builder.pieces;
        let literal_bytes = length(&pieces);
        Ok(Self { pieces, literal_bytes })
    }

    /// Bytes that a result has at least, roughly.
    pub(in crate::provider) fn size_hint(&self) -> usize {
        self.literal_bytes + 128
    }

    /// Writes the value for one mint to the end of `out`.
    pub(in crate::provider) fn render(&self, variables: &Variables<'_>, out: &mut Vec<u8>) -> Result<(), MissingValue> {
        match render(&self.pieces, variables, out) {
            Ok(()) => Ok(()),
            Err(Stop::Missing(place)) => Err(MissingValue(place.to_owned())),
            // The compiler puts every optional value into an `Optional` piece, save one that is the whole template.
            Err(Stop::Drop) => Err(MissingValue(String::new())),
        }
    }
}

fn length(pieces: &[Piece]) -> usize {
    let of = |piece: &Piece| match piece {
        Piece::Literal(bytes) => bytes.len(),
        Piece::Optional(inner) => length(inner),
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
        }
    }
    Ok(())
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

struct Builder<'s> {
    pieces: Vec<Piece>,
    scope: &'s mut Scope,
}

impl Builder<'_> {
    fn literal(&mut self, bytes: &[u8]) {
        push_literal(&mut self.pieces, bytes);
    }

    fn value(&mut self, value: &Value, place: &str) -> Result<(), TemplateError> {
        match value {
            Value::String(text) => self.string(text, place),
            Value::Object(members) => self.object(members, place),
            Value::Array(items) => self.list(items, place),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.literal(value.to_string().as_bytes());
                Ok(())
            }
        }
    }

    /// A string that is exactly one expression keeps the expression's type; mixed text is a string.
    fn string(&mut self, text: &str, place: &str) -> Result<(), TemplateError> {
        let at = |error: TemplateError| TemplateError(format!("{place}: {error}"));
        let parts = split(text).map_err(at)?;
        if let [Part::Expression(expression)] = parts.as_slice() {
            let expression = Expression::compile(expression, self.scope).map_err(at)?;
            match expression.constant() {
                Some(Ok(value)) => {
                    let text = value.to_string();
                    self.literal(text.as_bytes());
                }
                _ => self.pieces.push(Piece::Value(expression, place.to_owned())),
            }
            return Ok(());
        }
        self.literal(b"\"");
        self.in_string(&parts, place)?;
        self.literal(b"\"");
        Ok(())
    }

    fn in_string(&mut self, parts: &[Part<'_>], place: &str) -> Result<(), TemplateError> {
        for part in parts {
            let mut escaped = Vec::new();
            match part {
                Part::Literal(text) => {
                    escape(text, &mut escaped);
                    self.literal(&escaped);
                }
                Part::Expression(text) => {
                    let expression = Expression::compile(text, self.scope)
                        .map_err(|error| TemplateError(format!("{place}: {error}")))?;
                    match expression.constant() {
                        Some(Ok(value)) => {
                            write_in_string(&Datum::Json(std::borrow::Cow::Borrowed(value)), &mut escaped);
                            self.literal(&escaped);
                        }
                        _ => self.pieces.push(Piece::InString(expression, place.to_owned())),
                    }
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, members: &Map<String, Value>, place: &str) -> Result<(), TemplateError> {
        self.literal(b"{");
        let mut sure = false;
        for (key, value) in members {
            let place = format!("{place}.{key}");
            self.element(&mut sure, |own| {
                own.literal(b"\"");
                let parts = split(key).map_err(|error| TemplateError(format!("{place}: {error}")))?;
                own.in_string(&parts, &place)?;
                own.literal(b"\":");
                own.value(value, &place)
            })?;
        }
        self.literal(b"}");
        Ok(())
    }

    fn list(&mut self, items: &[Value], place: &str) -> Result<(), TemplateError> {
        self.literal(b"[");
        let mut sure = false;
        for (n, item) in items.iter().enumerate() {
            self.element(&mut sure, |own| own.value(item, &format!("{place}[{n}]")))?;
        }
        self.literal(b"]");
        Ok(())
    }

    /// One member or item with the comma before it. `sure` tells whether an element before it is certainly there.
    fn element(
        &mut self,
        sure: &mut bool,
        write: impl FnOnce(&mut Self) -> Result<(), TemplateError>,
    ) -> Result<(), TemplateError> {
        let before = std::mem::take(&mut self.pieces);
        let written = write(self);
        let inner = std::mem::replace(&mut self.pieces, before);
        written?;
        if inner.iter().any(always_absent) {
            return Ok(());
        }
        let optional = inner.iter().any(may_be_absent);
        let opened =
            matches!(self.pieces.last(), Some(Piece::Literal(bytes)) if matches!(bytes.last(), Some(b'{' | b'[')));
        let mut element = Vec::with_capacity(inner.len() + 1);
        if *sure {
            push_literal(&mut element, b",");
        } else if !opened {
            element.push(Piece::Comma);
        }
        append(&mut element, inner);
        if optional {
            self.pieces.push(Piece::Optional(element));
        } else {
            append(&mut self.pieces, element);
            *sure = true;
        }
        Ok(())
    }
}

/// Adds bytes; neighbouring literals become one.
fn push_literal(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    if let Some(Piece::Literal(last)) = pieces.last_mut() {
        last.extend_from_slice(bytes);
    } else {
        pieces.push(Piece::Literal(bytes.to_vec()));
    }
}

fn append(pieces: &mut Vec<Piece>, more: Vec<Piece>) {
    for piece in more {
        match piece {
            Piece::Literal(bytes) => push_literal(pieces, &bytes),
            other => pieces.push(other),
        }
    }
}

/// Whether a piece directly holds an optional value, so that the element around it can be left out.
fn may_be_absent(piece: &Piece) -> bool {
    matches!(piece, Piece::Value(expression, _) | Piece::InString(expression, _) if expression.is_optional())
}

/// Whether a piece holds an optional setting that was not given: its element is left out at load.
fn always_absent(piece: &Piece) -> bool {
    matches!(piece, Piece::Value(expression, _) | Piece::InString(expression, _)
        if matches!(expression.constant(), Some(Err(Absent::Optional))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::Profile;
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
        let template = JsonTemplate::compile(template, "json", &mut scope()).expect("compiles");
        let mut out = Vec::new();
        let variables = Variables {
            user_id: "u1",
            profile,
            now: Timestamp::from_millis(1_000_500),
            ttl: Duration::from_secs(60),
            taken: &[],
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
    fn constants_are_folded_into_the_literal() {
        let template = json!({"iss": "{{ config.issuer }}", "n": "{{ config.limit }}", "t": "<{{ config.issuer | upper }}>", "gone": "{{ config.app? }}"});
        let compiled = JsonTemplate::compile(&template, "json", &mut scope()).expect("compiles");
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
            let error = JsonTemplate::compile(&template, "json", &mut scope()).expect_err(part);
            assert!(error.0.contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn uses_of_the_profile_are_noted() {
        let mut scope = scope();
        JsonTemplate::compile(&json!({"a": "{{ user.email | lower }}", "b": "{{ user.id }}"}), "json", &mut scope)
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
