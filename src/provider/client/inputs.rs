//! What a request may add: the inputs that a definition declares, and the one place where a request is held against
//! them. What is not declared, or no template uses, is refused.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName};
use regex_lite::Regex;
use strum::{IntoStaticStr, VariantArray};

use crate::definition::{Key, Mistake, Mistakes, did_you_mean, whole};
use crate::provider::definition::Input;

/// Bytes of one input at most, whatever a definition says: session keys count them in 16 bits.
const LONGEST: usize = 8 * 1024;

/// The inputs of a definition, compiled. Empty where a request may add nothing.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// In the order of the names. `None` is declared but used by no template, and so not taken.
    rules: Vec<Option<Rule>>,
    /// Where those that are taken may stand, with their positions.
    places: Vec<(InputPlace, usize)>,
    /// What may be sent and says nothing.
    ignored: Vec<InputPlace>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    pattern: Regex,
    /// What is refused although it matches.
    except: Option<Regex>,
    /// Whether it is a segment of a path, where `.` and `..` would climb.
    in_path: bool,
    optional: bool,
    max_bytes: usize,
}

/// Where an input may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
enum InputPlace {
    Query(String),
    Body(String),
    Header(HeaderName),
}

/// What a request says, taken apart.
#[derive(Clone)]
pub struct Given<'g> {
    /// Query parameters, decoded, in the order sent.
    pub query: Vec<(String, String)>,
    /// Body members in the order sent; `None` stands for a value that is not text.
    pub body: Vec<(String, Option<String>)>,
    /// All headers; only those that are declared are looked at.
    pub headers: &'g HeaderMap,
}

impl std::fmt::Debug for Given<'_> {
    /// What people send stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

/// Why input is refused. It names nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", prefix = "input_")]
pub enum InputFault {
    /// It is not declared.
    #[error("not a declared input")]
    Undeclared,
    /// It came twice, in one place or in two.
    #[error("given twice")]
    Twice,
    /// A JSON value that is not a string, or bytes that are not UTF-8.
    #[error("not text")]
    NotText,
    /// More bytes than allowed.
    #[error("too long")]
    TooLong,
    /// Not what the pattern wants.
    #[error("does not match the pattern of the definition")]
    Pattern,
    /// Required and not there.
    #[error("a required input is missing")]
    Missing,
}

impl Inputs {
    /// Compiles what a definition declares. Names that are not in `used` are checked like the others, but not taken
    /// from requests. The mistakes are places in the definition, and what is wrong there.
    pub fn compile(declared: &BTreeMap<String, Input>, used: &BTreeSet<String>) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut inputs = Self::default();
        let mut claimed: Vec<(InputPlace, &str)> = Vec::new();
        for (position, (name, input)) in declared.iter().enumerate() {
            let key = Key::of("inputs").below(name);
            if input.from.is_empty() {
                mistakes.refuse(key.below("from"), "is empty; write where the input may stand, such as [\"query\"]");
            }
            let mut places = Vec::new();
            for entry in &input.from {
                let parsed = InputPlace::parse(entry, name).map_err(|mistake| mistake.within(key.below("from")));
                let Some(place) = mistakes.note(parsed) else { continue };
                if let Some((_, other)) = claimed.iter().find(|(own, _)| *own == place) {
                    mistakes.refuse(key.below("from"), format!("\"{entry}\" is a place of the input {other} already"));
                }
                claimed.push((place.clone(), name));
                places.push((place, position));
            }
            if !(1..=LONGEST).contains(&input.max_bytes) {
                mistakes.refuse(key.below("max_bytes"), format!("is {}; write 1 to {LONGEST}", input.max_bytes));
            }
            let mut compiled =
                |part: &str, text: &str| mistakes.note(whole(text).map_err(|mistake| mistake.within(key.below(part))));
            let pattern = compiled("pattern", &input.pattern);
            let except = input.except.as_deref().and_then(|text| compiled("except", text));
            let rule = pattern.filter(|_| used.contains(name)).map(|pattern| {
                inputs.places.extend(places);
                let (optional, max_bytes) = (input.optional, input.max_bytes);
                Rule { name: name.clone(), pattern, except, in_path: false, optional, max_bytes }
            });
            inputs.rules.push(rule);
        }
        // Where nothing is taken, nothing needs to be read.
        mistakes.or(if inputs.rules.iter().all(Option::is_none) { Self::default() } else { inputs })
    }

    /// The same where the inputs of these names are segments of paths.
    #[must_use]
    pub(in crate::provider) fn in_path(mut self, names: &BTreeSet<String>) -> Self {
        for rule in self.rules.iter_mut().flatten() {
            rule.in_path = names.contains(&rule.name);
        }
        self
    }

    /// The same where what stands in these places of query and body says nothing. `Err` says which of them cannot be.
    pub(in crate::provider) fn ignoring(mut self, entries: &[String]) -> Result<Self, Mistake> {
        for entry in entries {
            let place = InputPlace::parse(entry, "").ok().filter(|place| !matches!(place, InputPlace::Header(_)));
            let Some(place) = place.filter(|_| entry.contains(':')) else {
                return Err(format!("\"{entry}\" is not query:NAME or body:NAME").into());
            };
            if self.ignored.contains(&place) || self.places.iter().any(|(own, _)| *own == place) {
                return Err(format!("\"{entry}\" stands here twice, or is the place of an input").into());
            }
            self.ignored.push(place);
        }
        Ok(self)
    }

    /// Whether a request may add nothing at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.ignored.is_empty()
    }

    /// Whether an input is taken from this member of a body.
    pub fn reads_member(&self, name: &str) -> bool {
        self.position(|place| matches!(place, InputPlace::Body(own) if own == name)).is_some()
    }

    /// Headers that are looked at, for `Vary`.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.places.iter().filter_map(|(place, _)| match place {
            InputPlace::Header(name) => Some(name),
            InputPlace::Query(_) | InputPlace::Body(_) => None,
        })
    }

    /// The inputs that a request gives, in the order of their names.
    pub fn read(&self, given: &Given<'_>) -> Result<Vec<Option<String>>, InputFault> {
        let mut values = vec![None; self.rules.len()];
        for (name, text) in &given.query {
            self.put(&mut values, |place| matches!(place, InputPlace::Query(own) if own == name), Some(text))?;
        }
        for (name, text) in &given.body {
            self.put(&mut values, |place| matches!(place, InputPlace::Body(own) if own == name), text.as_deref())?;
        }
        for (place, position) in &self.places {
            let InputPlace::Header(name) = place else { continue };
            for value in given.headers.get_all(name) {
                self.take(&mut values, Some(*position), std::str::from_utf8(value.as_bytes()).ok())?;
            }
        }
        self.complete(values)
    }

    /// The inputs that the operator names, wherever they stand in requests; in the order of their names. `Err` names the
    /// input, and says which there are.
    pub fn of_operator(&self, named: &[(String, String)]) -> Result<Vec<Option<String>>, Mistake> {
        let mut values = vec![None; self.rules.len()];
        for (name, text) in named {
            let position = self.rules.iter().position(|rule| rule.as_ref().is_some_and(|rule| rule.name == *name));
            self.take(&mut values, position, Some(text)).map_err(|fault| {
                let own = position.and_then(|position| self.rules.get(position)?.as_ref());
                let problem = match (fault, own) {
                    (InputFault::Undeclared, _) => {
                        let meant = did_you_mean(name, self.taken().map(|rule| &rule.name));
                        format!("{fault}; {}{meant}", self.list())
                    }
                    (InputFault::TooLong, Some(rule)) => format!("has more than {} bytes", rule.max_bytes),
                    _ => fault.to_string(),
                };
                Mistake::new(Key::of(name), problem)
            })?;
        }
        let missing = |(rule, value): (&Option<Rule>, &Option<String>)| {
            rule.as_ref().filter(|rule| !rule.optional && value.is_none()).map(|rule| rule.name.clone())
        };
        match self.rules.iter().zip(&values).find_map(missing) {
            Some(name) => {
                let problem = format!("is missing; write --input {name}=…; {}", self.list());
                Err(Mistake::new(Key::of(name), problem))
            }
            None => Ok(values),
        }
    }

    fn taken(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().flatten()
    }

    /// The inputs that there are, as the end of a message.
    fn list(&self) -> String {
        let shown = |rule: &Rule| if rule.optional { format!("{} (optional)", rule.name) } else { rule.name.clone() };
        let all: Vec<String> = self.taken().map(shown).collect();
        if all.is_empty() { "this provider takes none".to_owned() } else { format!("there are {}", all.join(", ")) }
    }

    fn position(&self, fits: impl Fn(&InputPlace) -> bool) -> Option<usize> {
        self.places.iter().find(|(place, _)| fits(place)).map(|(_, position)| *position)
    }

    /// Takes what stands in a place, unless it is ignored there.
    fn put(
        &self,
        values: &mut [Option<String>],
        fits: impl Fn(&InputPlace) -> bool,
        text: Option<&str>,
    ) -> Result<(), InputFault> {
        if self.ignored.iter().any(&fits) { Ok(()) } else { self.take(values, self.position(fits), text) }
    }

    fn take(
        &self,
        values: &mut [Option<String>],
        position: Option<usize>,
        text: Option<&str>,
    ) -> Result<(), InputFault> {
        let position = position.ok_or(InputFault::Undeclared)?;
        let rule = self.rules.get(position).and_then(Option::as_ref).ok_or(InputFault::Undeclared)?;
        let value = values.get_mut(position).ok_or(InputFault::Undeclared)?;
        let text = text.ok_or(InputFault::NotText)?;
        if value.is_some() {
            return Err(InputFault::Twice);
        }
        // The length comes first: patterns run on short texts only.
        if text.len() > rule.max_bytes {
            return Err(InputFault::TooLong);
        }
        let excepted = rule.except.as_ref().is_some_and(|except| except.is_match(text));
        let climbs = rule.in_path && matches!(text, "." | "..");
        if !rule.pattern.is_match(text) || excepted || climbs {
            return Err(InputFault::Pattern);
        }
        *value = Some(text.to_owned());
        Ok(())
    }

    fn complete(&self, values: Vec<Option<String>>) -> Result<Vec<Option<String>>, InputFault> {
        let is_required = |rule: &Option<Rule>| rule.as_ref().is_some_and(|rule| !rule.optional);
        let missing = self.rules.iter().zip(&values).any(|(rule, value)| is_required(rule) && value.is_none());
        if missing { Err(InputFault::Missing) } else { Ok(values) }
    }
}

impl InputPlace {
    /// Reads an entry of `from` of the input called `name`.
    fn parse(entry: &str, name: &str) -> Result<Self, Mistake> {
        let (word, own) = entry.split_once(':').map_or((entry, None), |(word, own)| (word, Some(own)));
        match (word, own) {
            ("query" | "body" | "header", Some("")) | ("header", None) => {
                Err(format!("\"{entry}\" names nothing; write \"{word}:NAME\"").into())
            }
            ("query", own) => Ok(Self::Query(own.unwrap_or(name).to_owned())),
            ("body", own) => Ok(Self::Body(own.unwrap_or(name).to_owned())),
            ("header", Some(own)) => HeaderName::from_bytes(own.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("\"{own}\" is not a header name").into()),
            _ => Err(format!("\"{entry}\" is not query, body, query:NAME, body:NAME or header:NAME").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn input(pattern: &str, from: &[&str]) -> Input {
        Input {
            about: "A test.".to_owned(),
            pattern: pattern.to_owned(),
            except: None,
            from: from.iter().map(|from| (*from).to_owned()).collect(),
            optional: false,
            max_bytes: 16,
            allow: None,
        }
    }

    fn optional(pattern: &str, from: &[&str]) -> Input {
        Input { optional: true, ..input(pattern, from) }
    }

    fn compiled(declared: &[(&str, Input)]) -> Inputs {
        let used = declared.iter().map(|(name, _)| (*name).to_owned()).collect();
        Inputs::compile(&all(declared), &used).expect("compiles")
    }

    fn all(declared: &[(&str, Input)]) -> BTreeMap<String, Input> {
        declared.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect()
    }

    fn mistakes(declared: &[(&str, Input)]) -> Vec<String> {
        let mistakes = Inputs::compile(&all(declared), &BTreeSet::new()).expect_err("refused");
        mistakes.iter().map(ToString::to_string).collect()
    }

    /// Reads query pairs, body members and header lines.
    fn read(
        inputs: &Inputs,
        query: &[(&str, &str)],
        body: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Vec<Option<String>>, InputFault> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let body = body.iter().map(owned).map(|(name, text)| (name, Some(text))).collect();
        inputs.read(&Given { query: query.iter().map(owned).collect(), body, headers: &map })
    }

    fn texts(texts: &[Option<&str>]) -> Vec<Option<String>> {
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn values_come_in_the_order_of_names_from_every_place() {
        let inputs = compiled(&[
            ("socket", input("[0-9.]+", &["body:socket_id", "query:sid"])),
            ("channel", optional("[a-z-]+", &["query", "body"])),
            ("tenant", optional("[a-z]+", &["header:X-Tenant"])),
        ]);
        let all = read(&inputs, &[("channel", "lobby")], &[("socket_id", "1.2")], &[("x-tenant", "acme")]);
        assert_eq!(all, Ok(texts(&[Some("lobby"), Some("1.2"), Some("acme")])));
        assert_eq!(read(&inputs, &[("sid", "1.2")], &[], &[]), Ok(texts(&[None, Some("1.2"), None])));
        assert_eq!(inputs.headers().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-tenant"]);
        assert!(!inputs.is_empty());
    }

    #[test]
    fn what_is_not_declared_there_is_refused() {
        let inputs = compiled(&[
            ("channel", optional("[a-z]+", &["query"])),
            ("room", optional("[a-z]+", &["body:room_name"])),
            ("tenant", optional("[a-z]+", &["header:x-tenant"])),
        ]);
        for (query, body) in [
            (&[("user", "bob")][..], &[][..]),
            (&[("room_name", "a")], &[]),
            (&[("tenant", "a")], &[]),
            (&[("x-tenant", "a")], &[]),
            (&[("Channel", "a")], &[]),
            (&[("", "")], &[]),
            (&[("channel", "a"), ("extra", "b")], &[]),
            (&[], &[("channel", "a")]),
            (&[], &[("room", "a")]),
            (&[], &[("participant_identity", "bob")]),
        ] {
            assert_eq!(read(&inputs, query, body, &[]), Err(InputFault::Undeclared), "{query:?} {body:?}");
        }
        let other_headers = [("x-forwarded-user", "alice"), ("channel", "a")];
        assert_eq!(read(&inputs, &[], &[], &other_headers), Ok(vec![None; 3]), "headers are not input unless declared");
    }

    #[test]
    fn a_value_is_given_once_in_one_place() {
        let inputs = compiled(&[("room", optional("[a-z]*", &["query", "body", "body:room_name", "header:x-room"]))]);
        for (query, body, headers) in [
            (&[("room", "a"), ("room", "a")][..], &[][..], &[][..]),
            (&[("room", "a")], &[("room", "a")], &[]),
            (&[], &[("room", "a"), ("room", "a")], &[]),
            (&[], &[("room", "a"), ("room_name", "a")], &[]),
            (&[("room", "a")], &[], &[("x-room", "a")]),
            (&[], &[], &[("x-room", "a"), ("x-room", "a")]),
            (&[("room", ""), ("room", "")], &[], &[]),
        ] {
            assert_eq!(read(&inputs, query, body, headers), Err(InputFault::Twice), "{query:?} {body:?} {headers:?}");
        }
    }

    #[test]
    fn values_are_text_short_and_match_as_a_whole() {
        let inputs = compiled(&[("room", input("[a-z]+|[0-9]+", &["query", "header:x-room"]))]);
        for (text, outcome) in [
            ("lobby", Ok(texts(&[Some("lobby")]))),
            ("17", Ok(texts(&[Some("17")]))),
            ("", Err(InputFault::Pattern)),
            ("a1", Err(InputFault::Pattern)),
            ("lobby\n", Err(InputFault::Pattern)),
            ("\nlobby", Err(InputFault::Pattern)),
            ("lobby\n17", Err(InputFault::Pattern)),
            ("Lobby", Err(InputFault::Pattern)),
            ("abcdefghijklmnop", Ok(texts(&[Some("abcdefghijklmnop")]))),
            ("abcdefghijklmnopq", Err(InputFault::TooLong)),
        ] {
            assert_eq!(read(&inputs, &[("room", text)], &[], &[]), outcome, "{text:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-room", HeaderValue::from_bytes(b"\xff").expect("a value"));
        assert_eq!(inputs.read(&Given { query: vec![], body: vec![], headers: &headers }), Err(InputFault::NotText));
        let inputs = compiled(&[("room", optional("[a-z]+", &["body"]))]);
        let given = Given { query: vec![], body: vec![("room".to_owned(), None)], headers: &HeaderMap::new() };
        assert_eq!(inputs.read(&given), Err(InputFault::NotText), "null, a number, a list, a table");
    }

    #[test]
    fn bytes_count_not_characters() {
        let inputs = compiled(&[("room", input("ä+", &["query"]))]);
        assert!(read(&inputs, &[("room", "ääääääää")], &[], &[]).is_ok());
        assert_eq!(read(&inputs, &[("room", "äääääääää")], &[], &[]), Err(InputFault::TooLong));
    }

    #[test]
    fn empty_text_is_given_and_must_match() {
        let inputs = compiled(&[("room", input("[a-z]*", &["query"]))]);
        assert_eq!(read(&inputs, &[("room", "")], &[], &[]), Ok(texts(&[Some("")])));
        let inputs = compiled(&[("room", optional("[a-z]+", &["query"]))]);
        assert_eq!(read(&inputs, &[("room", "")], &[], &[]), Err(InputFault::Pattern));
    }

    #[test]
    fn a_required_one_must_be_there() {
        let inputs = compiled(&[("a", optional("x", &["query"])), ("b", input("x", &["query"]))]);
        assert_eq!(read(&inputs, &[("a", "x")], &[], &[]), Err(InputFault::Missing));
        assert_eq!(read(&inputs, &[("b", "x")], &[], &[]), Ok(texts(&[None, Some("x")])));
    }

    #[test]
    fn what_no_template_uses_is_not_taken_and_not_required() {
        let declared = all(&[("a", input("x", &["query", "header:x-a"])), ("b", optional("x", &["query"]))]);
        let inputs = Inputs::compile(&declared, &BTreeSet::from(["b".to_owned()])).expect("compiles");
        assert_eq!(
            read(&inputs, &[("b", "x")], &[], &[("x-a", "x")]),
            Ok(texts(&[None, Some("x")])),
            "b keeps its position"
        );
        assert_eq!(read(&inputs, &[("a", "x")], &[], &[]), Err(InputFault::Undeclared));
        assert_eq!(inputs.headers().count(), 0);
        let none = Inputs::compile(&declared, &BTreeSet::new()).expect("compiles");
        assert!(none.is_empty());
        assert_eq!(read(&none, &[("b", "x")], &[], &[]), Err(InputFault::Undeclared));
        assert_eq!(read(&none, &[], &[], &[]), Ok(vec![]));
    }

    #[test]
    fn the_operator_names_inputs_wherever_they_stand() {
        let inputs = compiled(&[("room", input("[a-z]+", &["body:room_name"]))]);
        let named = |name: &str, text: &str| inputs.of_operator(&[(name.to_owned(), text.to_owned())]);
        assert_eq!(named("room", "lobby"), Ok(texts(&[Some("lobby")])));
        let error = |outcome: Result<_, Mistake>| outcome.expect_err("refused").to_string();
        assert_eq!(error(named("room", "LOBBY")), "room: does not match the pattern of the definition");
        assert!(error(named("room_name", "lobby")).starts_with("room_name: not a declared input; there are "));
        assert!(error(inputs.of_operator(&[])).starts_with("room: is missing; write --input room=…; there are "));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_at_load() {
        for (from, problem) in [
            (&[][..], "is empty; write where the input may stand, such as [\"query\"]"),
            (&["cookie"], "\"cookie\" is not query, body, query:NAME, body:NAME or header:NAME"),
            (&["Query"], "\"Query\" is not query, body, query:NAME, body:NAME or header:NAME"),
            (&["cookie:a"], "\"cookie:a\" is not query, body, query:NAME, body:NAME or header:NAME"),
            (&["query:"], "\"query:\" names nothing; write \"query:NAME\""),
            (&["header"], "\"header\" names nothing; write \"header:NAME\""),
            (&["header:X Room"], "\"X Room\" is not a header name"),
            (&["query", "query:room"], "\"query:room\" is a place of the input room already"),
        ] {
            let expected = [format!("inputs.room.from: {problem}")];
            assert_eq!(mistakes(&[("room", input("x", from))]), expected, "{from:?}");
        }
        let twice = mistakes(&[("a", input("x", &["header:X-Room"])), ("b", input("x", &["header:x-room"]))]);
        assert_eq!(twice, ["inputs.b.from: \"header:x-room\" is a place of the input a already"]);
        for (max_bytes, fine) in [(0, false), (1, true), (LONGEST, true), (LONGEST + 1, false)] {
            let outcome =
                Inputs::compile(&all(&[("room", Input { max_bytes, ..input("x", &["query"]) })]), &BTreeSet::new());
            assert_eq!(outcome.is_ok(), fine, "{max_bytes}");
        }
        // The second would leave the anchors: it is two expressions, each anchored at one end only.
        for pattern in ["[a-z", "a)|(?:b"] {
            let found = mistakes(&[("room", input(pattern, &["query"]))]);
            assert!(matches!(&found[..], [one] if one.starts_with("inputs.room.pattern: ")), "{pattern}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = Input { max_bytes: 0, ..input("[", &["cookie", "header"]) };
        assert_eq!(mistakes(&[("a", wrong.clone()), ("b", wrong)]).len(), 8);
    }

    proptest! {
        /// Whatever is accepted was declared, came once, fits, and is handed on as it was sent; nothing else is.
        #[test]
        fn only_what_is_declared_gets_through(
            query in prop::collection::vec(("[abx]", "[a-c\n]{0,3}"), 0..4),
            body in prop::collection::vec(("[abx]", prop::option::weighted(0.9, "[a-c\n]{0,3}")), 0..3),
        ) {
            let small = |input: Input| Input { max_bytes: 2, ..input };
            let inputs = compiled(&[
                ("a", small(input("[ab]*", &["query", "body"]))),
                ("b", small(optional("[bc]+", &["query"]))),
            ]);
            let given = Given { query: query.clone(), body: body.clone(), headers: &HeaderMap::new() };
            let fits = |name: &str, text: &str| {
                let allowed = if name == "a" { "ab" } else { "bc" };
                text.len() <= 2 && text.chars().all(|c| allowed.contains(c)) && (name == "a" || !text.is_empty())
            };
            let everything: Vec<(&str, Option<&str>)> = query
                .iter()
                .map(|(name, text)| (name.as_str(), Some(text.as_str())))
                .chain(body.iter().map(|(name, text)| (name.as_str(), text.as_deref())))
                .collect();
            let of = |wanted: &str| -> Vec<Option<&str>> {
                everything.iter().filter(|(name, _)| *name == wanted).map(|(_, text)| *text).collect()
            };
            let declared = query.iter().all(|(name, _)| name != "x") && body.iter().all(|(name, _)| name == "a");
            let good = declared
                && of("a").len() == 1
                && of("b").len() <= 1
                && everything.iter().all(|(name, text)| text.is_some_and(|text| fits(name, text)));
            match inputs.read(&given) {
                Ok(values) => {
                    prop_assert!(good, "{everything:?}");
                    prop_assert_eq!(values[0].as_deref(), of("a")[0]);
                    prop_assert_eq!(values[1].as_deref(), of("b").first().copied().flatten());
                }
                Err(_) => prop_assert!(!good, "{everything:?}"),
            }
        }
    }
}
