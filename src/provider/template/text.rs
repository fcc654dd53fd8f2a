//! Text templates: addresses, query parameters and headers, built as structure and never by pasting text.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::json::MissingValue;
use super::{Absent, Datum, Expression, Scope, Variables, split_in};
use crate::definition::{Key, Mistake, Segment, check_address};

/// Everything but RFC 3986 «unreserved» is encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds query parameters, encoded as RFC 3986 has it. (`application/x-www-form-urlencoded` writes a space as `+`, which
/// not every system reads, and some that check signatures refuse.)
pub(in crate::provider) fn append_query<T: AsRef<str>>(url: &mut Url, pairs: impl IntoIterator<Item = (T, T)>) {
    let encode = |text: &T, query: &mut String| query.extend(utf8_percent_encode(text.as_ref(), SEGMENT));
    let mut query = url.query().unwrap_or_default().to_owned();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        encode(&name, &mut query);
        query.push('=');
        encode(&value, &mut query);
    }
    // Each time it is set, all of it is parsed.
    url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
}

/// Text with slots.
#[derive(Debug)]
pub(in crate::provider) struct TextTemplate {
    pieces: Vec<Piece>,
    place: Key,
    optional: bool,
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    Slot(Expression),
}

impl TextTemplate {
    /// Compiles `text`; `place` names it in messages.
    pub(in crate::provider) fn compile(text: &str, place: &Key, scope: &mut Scope) -> Result<Self, Mistake> {
        let at = |mistake: Mistake| mistake.within(place);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut optional = false;
        for part in split_in(text, scope).map_err(at)? {
            let literal = match part {
                Segment::Literal(text) => text,
                Segment::Expression(text) => {
                    let expression = Expression::compile(&text, scope).map_err(at)?;
                    optional |= expression.is_optional();
                    match expression.constant() {
                        Some(Ok(value)) => plain(value),
                        _ => {
                            pieces.push(Piece::Slot(expression));
                            continue;
                        }
                    }
                }
            };
            if let Some(Piece::Literal(last)) = pieces.last_mut() {
                last.push_str(&literal);
            } else if !literal.is_empty() {
                // An empty one would hide that two values have nothing between them.
                pieces.push(Piece::Literal(literal));
            }
        }
        Ok(Self { pieces, place: place.clone(), optional })
    }

    /// The text, if it is the same for every mint; `None` inside for an optional setting that was not given.
    pub(in crate::provider) fn constant(&self) -> Option<Option<&str>> {
        match self.pieces.as_slice() {
            [] => Some(Some("")),
            [Piece::Literal(text)] => Some(Some(text)),
            pieces => {
                let gone = |piece: &Piece| matches!(piece, Piece::Slot(expression) if matches!(expression.constant(), Some(Err(Absent::Optional))));
                pieces.iter().any(gone).then_some(None)
            }
        }
    }

    /// The text for one mint; `None` when it is optional and absent.
    pub(in crate::provider) fn render(&self, variables: &Variables<'_>) -> Result<Option<String>, MissingValue> {
        self.render_with(variables, |text, out| out.push_str(text))
    }

    /// The same where what varies is encoded, all but ASCII and these characters of it.
    pub(in crate::provider) fn render_encoded(
        &self,
        variables: &Variables<'_>,
        set: &'static AsciiSet,
    ) -> Result<Option<String>, MissingValue> {
        self.render_with(variables, |text, out| out.extend(utf8_percent_encode(text, set)))
    }

    fn render_with(
        &self,
        variables: &Variables<'_>,
        encode: impl Fn(&str, &mut String),
    ) -> Result<Option<String>, MissingValue> {
        let mut out = String::new();
        match self.write(variables, &mut out, encode) {
            Ok(()) => Ok(Some(out)),
            Err(Absent::Optional) => Ok(None),
            Err(Absent::Required) => Err(MissingValue(self.place.to_string())),
        }
    }

    /// The text for one mint, to be signed. No value may hold what stands behind it: two different meanings would have
    /// the same text, and one signature would be good for both.
    pub(in crate::provider) fn render_signed(&self, variables: &Variables<'_>) -> Result<String, MissingValue> {
        let mut out = String::new();
        for (n, piece) in self.pieces.iter().enumerate() {
            let start = out.len();
            let written = piece.write(variables, &mut out, &|text, out| out.push_str(text));
            written.map_err(|_absent| MissingValue(self.place.to_string()))?;
            let value = out.get(start..).unwrap_or_default();
            let separator = self.separator(n);
            if matches!(piece, Piece::Slot(_)) && separator.is_some_and(|separator| value.contains(separator)) {
                return Err(MissingValue(format!("{} (a value holds its separator)", self.place)));
            }
        }
        Ok(out)
    }

    /// What makes this template unfit to be signed: values with nothing between them, or an input whose pattern allows
    /// a separator of the text. That counts for the last value as well, where it would look like one more: a channel
    /// called `private-x:{"user_id":"bob"}`.
    pub(in crate::provider) fn check_signed(&self, allows: impl Fn(usize, char) -> bool) -> Result<(), Mistake> {
        let wrong = |problem: String| Mistake::new(&self.place, problem);
        let joints = self.slots().filter_map(Expression::joints).flatten().copied();
        let separators: Vec<char> = (0..self.pieces.len()).filter_map(|n| self.separator(n)).chain(joints).collect();
        for (n, piece) in self.pieces.iter().enumerate() {
            let Piece::Slot(expression) = piece else { continue };
            if matches!(self.pieces.get(n + 1), Some(Piece::Slot(_))) {
                return Err(wrong("has two values with nothing between them; write a separator".to_owned()));
            }
            if expression.joints().is_some_and(<[char]>::is_empty) {
                return Err(wrong("is signed, and puts two values together with nothing between them".to_owned()));
            }
            let allowed = |separator: &&char| expression.inputs().any(|input| allows(input, **separator));
            if let Some(separator) = separators.iter().find(allowed) {
                return Err(wrong(format!(
                    "is signed, and the pattern of an input in it allows {separator:?}, which separates it from what \
                     stands beside it; one signature could be taken for another"
                )));
            }
        }
        Ok(())
    }

    /// Notes what is a whole segment of a path by itself: `.` and `..` would climb there, and encoding does not help.
    fn note_segments(&self, scope: &mut Scope) {
        for (n, piece) in self.pieces.iter().enumerate() {
            let Piece::Slot(expression) = piece else { continue };
            let before = match n.checked_sub(1).and_then(|n| self.pieces.get(n)) {
                Some(Piece::Literal(text)) => text.trim_end_matches('.').ends_with('/'),
                _ => true,
            };
            let behind = match self.pieces.get(n + 1) {
                Some(Piece::Literal(text)) => {
                    let text = text.trim_start_matches('.');
                    text.is_empty() || text.starts_with('/')
                }
                _ => true,
            };
            if before && behind {
                let inputs: Vec<String> =
                    expression.inputs().filter_map(|index| scope.inputs.get(index).cloned()).collect();
                scope.segment_users |= inputs.is_empty();
                scope.segment_inputs.extend(inputs);
            }
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Expression> {
        self.pieces.iter().filter_map(|piece| if let Piece::Slot(own) = piece { Some(own) } else { None })
    }

    /// Values of `let` in it, by index.
    pub(in crate::provider) fn lets(&self) -> impl Iterator<Item = usize> {
        self.slots().flat_map(Expression::lets)
    }

    /// The character that ends the value of piece `n`.
    fn separator(&self, n: usize) -> Option<char> {
        match self.pieces.get(n + 1)? {
            Piece::Literal(text) => text.chars().next(),
            Piece::Slot(_) => None,
        }
    }

    /// Whether `address`, made by this template, has as many path segments as it says. Dots survive encoding and would
    /// climb, and an empty value at the end would mean the whole collection: `DELETE /users/`.
    fn keeps_its_segments(&self, address: &str) -> bool {
        let path = address.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        let ends_open = matches!(self.pieces.last(), Some(Piece::Literal(text)) if text.ends_with('/'));
        let path = path.map(|path| if ends_open { path.strip_suffix('/').unwrap_or(path) } else { path });
        let stays = |segment: &str| {
            // As the URL standard reads dots.
            let dots = segment.replace("%2e", ".").replace("%2E", ".");
            !matches!(dots.as_str(), "" | "." | "..")
        };
        path.is_some_and(|path| path.split('/').all(stays))
    }

    fn write(
        &self,
        variables: &Variables<'_>,
        out: &mut String,
        encode: impl Fn(&str, &mut String),
    ) -> Result<(), Absent> {
        self.pieces.iter().try_for_each(|piece| piece.write(variables, out, &encode))
    }
}

impl Piece {
    fn write(
        &self,
        variables: &Variables<'_>,
        out: &mut String,
        encode: &impl Fn(&str, &mut String),
    ) -> Result<(), Absent> {
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Slot(expression) => match expression.value(variables)? {
                Datum::Text(text) => encode(&text, out),
                Datum::Number(number) => encode(&number.to_string(), out),
                Datum::List(list) => encode(&list.join(","), out),
                Datum::Json(value) => match value.as_ref() {
                    Value::String(text) => encode(text, out),
                    other => encode(&other.to_string(), out),
                },
            },
        }
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An address whose host is fixed at load and whose path may hold encoded segments.
#[derive(Debug)]
pub(in crate::provider) enum UrlTemplate {
    Fixed(Url),
    Varying(TextTemplate),
}

impl UrlTemplate {
    /// Compiles an address. Scheme, host and port must be constant: no identity or input ever chooses where a secret
    /// is sent.
    pub(in crate::provider) fn compile(text: &str, place: &Key, scope: &mut Scope) -> Result<Self, Mistake> {
        let wrong = |problem: &str| Mistake::new(place, format!("\"{text}\" {problem}"));
        let template = TextTemplate::compile(text, place, scope)?;
        if template.optional {
            return Err(wrong("holds an optional value; an address has none"));
        }
        if text.contains(['?', '#']) {
            return Err(wrong("holds a query or fragment; write parameters as «query»"));
        }
        let Some(Piece::Literal(start)) = template.pieces.first() else {
            return Err(wrong("begins with a value that varies; scheme and host must be fixed"));
        };
        let host_ends = start.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if !host_ends {
            return Err(wrong("must have a fixed scheme, host and a path"));
        }
        let url = Url::parse(start).map_err(|error| wrong(&format!("is not an address ({error})")))?;
        check_address(&url).map_err(wrong)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("cannot be called; write http:// or https://"));
        }
        if let [Piece::Literal(_)] = template.pieces.as_slice() {
            return Ok(Self::Fixed(url));
        }
        template.note_segments(scope);
        Ok(Self::Varying(template))
    }

    /// Scheme, host, port, and what of the path is fixed.
    fn start(&self) -> Option<Url> {
        match self {
            Self::Fixed(url) => Some(url.clone()),
            Self::Varying(template) => match template.pieces.first() {
                Some(Piece::Literal(start)) => Url::parse(start).ok(),
                _ => None,
            },
        }
    }

    /// Host and port, for people.
    pub(in crate::provider) fn host(&self) -> String {
        let url = self.start();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        match url.as_ref().and_then(Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The host, where calls travel to it unencrypted through a network that may not be ours.
    pub(in crate::provider) fn open_host(&self) -> Option<String> {
        let url = self.start()?;
        let private = match url.host()? {
            url::Host::Domain(name) => {
                // Names without a dot, and these endings, are not given out in public.
                let ends = [".svc", ".local", ".internal", ".localhost", ".test"];
                !name.contains('.') || ends.iter().any(|end| name.ends_with(end))
            }
            url::Host::Ipv4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            url::Host::Ipv6(ip) => ip.is_loopback() || ip.is_unique_local(),
        };
        (url.scheme() == "http" && !private).then(|| url.host_str().unwrap_or_default().to_owned())
    }

    /// The address for one mint.
    pub(in crate::provider) fn render(&self, variables: &Variables<'_>) -> Result<Url, MissingValue> {
        match self {
            Self::Fixed(url) => Ok(url.clone()),
            Self::Varying(template) => {
                let missing = || MissingValue(template.place.to_string());
                let mut out = String::new();
                let written =
                    template.write(variables, &mut out, |text, out| out.extend(utf8_percent_encode(text, SEGMENT)));
                written.map_err(|_absent| missing())?;
                // fuzzing: kept segments
                if !template.keeps_its_segments(&out) {
                    return Err(missing());
                }
                Url::parse(&out).map_err(|_unparsable| missing())
            }
        }
    }
}

/// A header value; text with control characters has none.
pub(in crate::provider) fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Profile, UserId};
    use super::*;

    fn scope() -> Scope {
        Scope { settings: [("api_url".to_owned(), json!("https://api.example/v1"))].into(), ..Scope::default() }
    }

    fn url(text: &str, user: &str) -> Result<String, MissingValue> {
        let template = UrlTemplate::compile(text, &"post".into(), &mut scope()).expect("compiles");
        let profile = Profile { subject: user, ..Profile::default() };
        let user = UserId::plain(user);
        template.render(&Variables::of(&user, &profile)).map(|url| url.to_string())
    }

    #[test]
    fn segments_are_encoded_and_cannot_climb() {
        let text = "{{ config.api_url }}/users/{{ user.id }}/token";
        for (user, address) in [
            ("alice", "https://api.example/v1/users/alice/token"),
            ("a/b?c#d", "https://api.example/v1/users/a%2Fb%3Fc%23d/token"),
            ("ü %2e@", "https://api.example/v1/users/%C3%BC%20%252e%40/token"),
            ("a..b", "https://api.example/v1/users/a..b/token"),
        ] {
            assert_eq!(url(text, user).as_deref(), Ok(address));
        }
        let own = "{{ config.api_url }}/users";
        for user in [".", "..", ""] {
            for text in
                [text, &format!("{own}/{{{{ user.id }}}}"), &format!("{own}/{{{{ user.id }}}}{{{{ user.id }}}}")]
            {
                assert!(url(text, user).is_err() || text.contains("}}{{") && user == "..", "{text} {user}");
            }
        }
        assert!(url(&format!("{own}/.{{{{ user.id }}}}"), ".").is_err());
        assert_eq!(url(&format!("{own}/{{{{ user.id }}}}/"), "a").as_deref(), Ok("https://api.example/v1/users/a/"));
        assert_eq!(url(&format!("{own}/u-{{{{ user.id }}}}"), ".").as_deref(), Ok("https://api.example/v1/users/u-."));
    }

    #[test]
    fn the_host_is_fixed() {
        for text in [
            "https://{{ user.id }}.example/v1",
            "https://{{ user.id }}/v1",
            "{{ user.id }}",
            "ftp://example/x",
            "https://a:b@example/x",
            "https://example",
            "https://example/x?y=1",
            "{{ config.api_url }}",
            "/users",
            "https://example{{ user.id }}/x",
        ] {
            let refused = UrlTemplate::compile(text, &"post".into(), &mut scope());
            assert!(refused.is_err() || text == "{{ config.api_url }}", "{text}");
        }
    }
}
