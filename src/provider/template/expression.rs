//! One `{{ … }}`: compiled to a slot where it is a plain name, to a minijinja expression where it is more.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::functions::{ENGINE, MISFIT, names as functions};
use super::scope::Scope;
use super::slot::Slot;
use super::{Datum, Variables};
use crate::definition::Mistake;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Absent {
    /// It ends in `?`: whatever holds it is left out.
    Optional,
    /// It is required.
    Required,
}

/// One compiled expression.
#[derive(Debug)]
pub(in crate::provider) struct Expression {
    form: Form,
    optional: bool,
}

#[derive(Debug)]
enum Form {
    /// Known at load; `None` is a setting without value.
    Constant(Option<Value>),
    Slot(Slot),
    /// A time, moved by so many units.
    Shifted(Slot, i64),
    Rich(Box<Rich>),
}

/// An expression of the engine, and the names in it that vary.
struct Rich {
    expression: minijinja::Expression<'static, 'static>,
    config: BTreeMap<String, minijinja::Value>,
    slots: Vec<(String, Slot)>,
    /// Where it may put values that vary together: what it puts between them.
    joints: Option<Vec<char>>,
}

impl std::fmt::Debug for Rich {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rich").finish_non_exhaustive()
    }
}

impl Expression {
    /// Compiles the text between the braces. Everything it names is checked here.
    pub(in crate::provider) fn compile(text: &str, scope: &mut Scope) -> Result<Self, Mistake> {
        let (body, optional) = match text.strip_suffix('?') {
            Some(body) => (body.trim_end(), true),
            None => (text, false),
        };
        let form = if is_name(body) {
            match scope.admit(body)? {
                Some(slot) => Form::Slot(slot),
                None => Form::Constant(scope.setting(body)),
            }
        } else if let Some((name, shift)) = shifted(body) {
            match scope.admit(name)? {
                Some(slot) if slot.can_move() => Form::Shifted(slot, shift),
                _ => return Err(format!("\"{text}\": only now and exp can be moved, in s or ms").into()),
            }
        } else {
            Self::rich(body, scope)?
        };
        Ok(Self { form, optional })
    }

    fn rich(text: &str, scope: &mut Scope) -> Result<Form, Mistake> {
        if has_slice(text) {
            // The engine does not tell which names stand before one, so they would silently have no value.
            return Err(format!("\"{text}\": a slice such as x[:3] cannot be used; write split, first or last").into());
        }
        let expression = ENGINE
            .compile_expression_owned(text.to_owned())
            .map_err(|error| format!("\"{text}\": {}", not_an_expression(text, &error)))?;
        let names: BTreeSet<String> = expression.undeclared_variables(true).into_iter().collect();
        let mut slots = Vec::new();
        let mut config = BTreeMap::new();
        for name in names {
            match scope.admit(&name)? {
                Some(slot) => slots.push((name, slot)),
                None => {
                    let value = scope.setting(&name);
                    config.extend(value.map(|value| (name, minijinja::Value::from_serialize(&value))));
                }
            }
        }
        let varies = !slots.is_empty();
        let joints = (slots.len() > 1 && text.contains(['~', '+', '['])).then(|| joints(text));
        let rich = Rich { expression, config, slots, joints };
        // The engine looks filters up when it evaluates, so one trial finds those that do not exist.
        let trial = rich.trial().map_err(|error| format!("\"{text}\": {error}"))?;
        // Everything constant is folded at load.
        Ok(if varies { Form::Rich(Box::new(rich)) } else { Form::Constant(trial) })
    }

    /// Whether the value is the same for every mint.
    pub(in crate::provider) fn constant(&self) -> Option<Result<&Value, Absent>> {
        match &self.form {
            Form::Constant(value) => Some(match value {
                Some(value) if !(self.optional && Datum::Json(Cow::Borrowed(value)).is_empty()) => Ok(value),
                _ => Err(self.absence()),
            }),
            _ => None,
        }
    }

    /// Whether it ends in `?`.
    pub(in crate::provider) const fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether it is the end of the token in seconds, which is what a claim `exp` must be.
    pub(in crate::provider) fn is_expiry(&self) -> bool {
        matches!(self.form, Form::Slot(Slot::Expires(super::slot::Unit::Seconds)))
    }

    /// Inputs in it, by index.
    pub(in crate::provider) fn inputs(&self) -> impl Iterator<Item = usize> {
        self.slots().filter_map(|slot| if let Slot::Input(index) = slot { Some(index) } else { None })
    }

    /// Values of `let` in it, by index.
    pub(in crate::provider) fn lets(&self) -> impl Iterator<Item = usize> {
        self.slots().filter_map(|slot| if let Slot::Let(index) = slot { Some(index) } else { None })
    }

    /// Where it may put several values together: the characters that end them. None of them, and no reader can tell where
    /// one ends.
    pub(in crate::provider) fn joints(&self) -> Option<&[char]> {
        if let Form::Rich(rich) = &self.form { rich.joints.as_deref() } else { None }
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        let (plain, rich) = match &self.form {
            Form::Constant(_) => (None, None),
            Form::Slot(slot) | Form::Shifted(slot, _) => (Some(*slot), None),
            Form::Rich(rich) => (None, Some(rich)),
        };
        plain.into_iter().chain(rich.into_iter().flat_map(|rich| rich.slots.iter().map(|(_, slot)| *slot)))
    }

    const fn absence(&self) -> Absent {
        if self.optional { Absent::Optional } else { Absent::Required }
    }

    /// The value for one mint.
    pub(in crate::provider) fn value<'v>(&'v self, variables: &'v Variables<'_>) -> Result<Datum<'v>, Absent> {
        let value = match &self.form {
            // What goes wrong is no absence: a `?` leaves out what is not there, not what cannot be worked out.
            Form::Rich(rich) => rich.value(variables).map_err(|_failed| Absent::Required)?,
            Form::Constant(value) => value.as_ref().map(|value| Datum::Json(Cow::Borrowed(value))),
            Form::Slot(slot) => slot.value(variables),
            Form::Shifted(slot, shift) => slot.value(variables).map(|datum| match datum {
                Datum::Number(number) => Datum::Number(number.saturating_add(*shift)),
                other => other,
            }),
        };
        match value {
            Some(datum) if !(self.optional && datum.is_empty()) => Ok(datum),
            _ => Err(self.absence()),
        }
    }

    /// Whether there is a value that is not `false` or empty.
    pub(in crate::provider) fn is_true(&self, variables: &Variables<'_>) -> bool {
        self.value(variables).is_ok_and(|datum| match &datum {
            Datum::Json(value) if value.as_bool() == Some(false) => false,
            datum => !datum.is_empty(),
        })
    }
}

/// Why `text` is none, with the character where that can be seen.
fn not_an_expression(text: &str, error: &minijinja::Error) -> String {
    let detail = error.detail().unwrap_or("not an expression");
    let Some((at, c)) = strange(text) else { return detail.to_owned() };
    let rule = match c {
        '?' => "; a ? stands once, at the end: {{ user.groups | join(',') ? }}",
        _ => "",
    };
    format!("{c} in column {} has no meaning there{rule}", at + 1)
}

/// The first character outside of quotes that no expression has.
fn strange(text: &str) -> Option<(usize, char)> {
    let mut quote = None;
    for (at, c) in text.chars().enumerate() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_alphanumeric() || c.is_whitespace() || "_.,|~+-*/%()[]{}:<>=!".contains(c) => {}
            (None, c) => return Some((at, c)),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

impl Rich {
    /// Evaluates with nothing but settings. Complaints about values are for later: those are not here yet.
    fn trial(&self) -> Result<Option<Value>, String> {
        use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
        match self.expression.eval(self.context(|_slot| None)) {
            Ok(value) => Ok(to_json(&value)),
            Err(error) if matches!(error.kind(), UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest) => {
                let detail = error.detail().unwrap_or("names a function that does not exist");
                Err(format!("{detail}; known: {}", functions()))
            }
            Err(error) if self.slots.is_empty() && error.detail() == Some(MISFIT) => Err(MISFIT.to_owned()),
            Err(_) => Ok(None),
        }
    }

    fn value(&self, variables: &Variables<'_>) -> Result<Option<Datum<'static>>, minijinja::Error> {
        let absent = Cell::new(false);
        let context = self.context(|slot| {
            let datum = slot.value(variables);
            absent.set(absent.get() || datum.is_none());
            datum.map(|datum| datum.to_engine())
        });
        match self.expression.eval(context) {
            Ok(value) => Ok(to_json(&value).map(|value| Datum::Json(Cow::Owned(value)))),
            Err(error) if absent.get() && error.detail() != Some(MISFIT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of the expression as nested tables. Absent values are left out, so that `default` sees them as
    /// undefined.
    fn context(&self, value: impl Fn(Slot) -> Option<minijinja::Value>) -> minijinja::Value {
        let mut root = Node::default();
        for (name, own) in &self.config {
            root.put(name, own.clone());
        }
        for (name, slot) in &self.slots {
            if let Some(own) = value(*slot) {
                root.put(name, own);
            }
        }
        root.into_engine()
    }
}

/// A nested table of values by dotted name.
#[derive(Default)]
struct Node<'n> {
    value: Option<minijinja::Value>,
    below: BTreeMap<&'n str, Node<'n>>,
}

impl<'n> Node<'n> {
    fn put(&mut self, name: &'n str, value: minijinja::Value) {
        match name.split_once('.') {
            Some((head, rest)) => self.below.entry(head).or_default().put(rest, value),
            None => self.below.entry(name).or_default().value = Some(value),
        }
    }

    fn into_engine(self) -> minijinja::Value {
        match self.value {
            Some(value) => value,
            None => self.below.into_iter().map(|(name, node)| (name, node.into_engine())).collect(),
        }
    }
}

impl Datum<'_> {
    fn to_engine(&self) -> minijinja::Value {
        match self {
            Self::Text(text) => minijinja::Value::from(text.as_ref()),
            Self::Number(number) => minijinja::Value::from(*number),
            Self::List(list) => minijinja::Value::from_serialize(list),
            Self::Json(value) => minijinja::Value::from_serialize(value.as_ref()),
        }
    }
}

/// JSON for a value of the engine; none and undefined are absent.
fn to_json(value: &minijinja::Value) -> Option<Value> {
    if value.is_undefined() || value.is_none() { None } else { serde_json::to_value(value).ok() }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a colon stands between square brackets, outside of texts.
fn has_slice(text: &str) -> bool {
    let (mut open, mut quote, mut escaped) = (Vec::new(), None, false);
    text.chars().any(|c| {
        match (quote, c) {
            (Some(_), '\\') => escaped = !escaped,
            (Some(own), c) => {
                quote = (c != own || escaped).then_some(own);
                escaped = false;
            }
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{' | '(') => open.push(c),
            (None, ']' | '}' | ')') => {
                open.pop();
            }
            (None, ':') => return open.last() == Some(&'['),
            (None, _) => {}
        }
        false
    })
}

/// What stands first in a text behind a `~`.
fn joints(text: &str) -> Vec<char> {
    let behind = text.split('~').skip(1).map(str::trim_start);
    behind
        .filter_map(|own| own.strip_prefix(['\'', '"'])?.chars().next().filter(|c| !matches!(c, '\'' | '"')))
        .collect()
}

/// `now.s - 5` is the name and -5.
fn shifted(text: &str) -> Option<(&str, i64)> {
    let (name, sign, amount) = match text.split_once('-') {
        Some((name, amount)) => (name, -1, amount),
        None => text.split_once('+').map(|(name, amount)| (name, 1, amount))?,
    };
    let amount: i64 = amount.trim().parse().ok().filter(|amount| *amount >= 0)?;
    let name = name.trim();
    is_name(name).then_some((name, sign * amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_worked_out_is_no_absence() {
        let (user, profile) = (crate::provider::user::UserId::plain("u1"), crate::provider::Profile::default());
        let value = |text: &str| {
            let expression = Expression::compile(text, &mut Scope::default()).expect(text);
            expression.value(&Variables::of(&user, &profile)).map(|_| ()).expect_err(text)
        };
        assert_eq!(value("user.id * user.local?"), Absent::Required);
        assert_eq!(value("user.id * user.email?"), Absent::Optional);
        for filter in ["lower", "trim", "replace('a', 'b')", "split(',')", "sha256", "first"] {
            assert_eq!(value(&format!("user.email | {filter}?")), Absent::Optional, "{filter}");
            assert_eq!(value(&format!("user.email | {filter}")), Absent::Required, "{filter}");
        }
    }

    /// The engine would give `user.id[:3]` an empty value, and say nothing.
    #[test]
    fn slices_are_refused() {
        for text in ["user.id[:3]", "now.iso[:19] ~ 'Z'", "user.groups[1:] | first", "(user.id[0:2]) | upper"] {
            let told = Expression::compile(text, &mut Scope::default()).expect_err(text).to_string();
            assert!(told.contains("cannot be used"), "{told}");
        }
        for text in
            ["[user.id]", "user.groups[0]", "user.id ~ ':[:]'", "user.id ~ \"\\\":[:\"", "{'a': user.id}", "[{'a': 1}]"]
        {
            Expression::compile(text, &mut Scope::default()).expect(text);
        }
    }
}
