//! One `{{ … }}`: compiled to a slot where it is a plain name, to a minijinja expression where it is more.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::{Datum, ProfileUse, TemplateError, Variables};
use crate::clock::Timestamp;

/// Rich expressions are compiled by this engine. It is one for the process because a compiled expression borrows it.
static ENGINE: LazyLock<minijinja::Environment<'static>> = LazyLock::new(|| {
    let mut engine = minijinja::Environment::empty();
    engine.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
    engine.add_filter("default", minijinja::filters::default);
    engine.add_filter("lower", minijinja::filters::lower);
    engine.add_filter("upper", minijinja::filters::upper);
    engine.add_filter("trim", minijinja::filters::trim);
    engine.add_filter("replace", minijinja::filters::replace);
    engine.add_filter("split", minijinja::filters::split);
    engine.add_filter("join", minijinja::filters::join);
    engine.add_filter("first", minijinja::filters::first);
    engine.add_filter("last", minijinja::filters::last);
    engine.add_filter("slice", minijinja::filters::slice);
    engine
});

/// What expressions may name, and what they did name.
#[derive(Debug, Default)]
pub(in crate::provider) struct Scope {
    /// Settings with a value.
    pub(in crate::provider) settings: BTreeMap<String, Value>,
    /// Settings that exist but have no value.
    pub(in crate::provider) unset: BTreeSet<String>,
    /// Names of secret settings, for a message that says what to do instead.
    pub(in crate::provider) secrets: BTreeSet<String>,
    /// Values that earlier steps take, as `STEP.NAME`, by index.
    pub(in crate::provider) taken: Vec<String>,
    /// Whether user, time and steps may be named; not in places that are fixed at load.
    pub(in crate::provider) constants_only: bool,
    /// Parts of the profile that were named.
    pub(in crate::provider) uses: ProfileUse,
}

/// A plain name that varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    UserId,
    Name,
    DisplayName,
    Email,
    Avatar,
    Groups,
    Source,
    Issuer,
    Subject,
    Now(Unit),
    Expires(Unit),
    Lifetime(Unit),
    Taken(usize),
}

/// Unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
    Minutes,
    Days,
    Iso,
}

const NAMES: [(&str, Slot); 19] = [
    ("user.id", Slot::UserId),
    ("user.name", Slot::Name),
    ("user.display_name", Slot::DisplayName),
    ("user.email", Slot::Email),
    ("user.avatar", Slot::Avatar),
    ("user.groups", Slot::Groups),
    ("identity.source", Slot::Source),
    ("identity.issuer", Slot::Issuer),
    ("identity.subject", Slot::Subject),
    ("now.s", Slot::Now(Unit::Seconds)),
    ("now.ms", Slot::Now(Unit::Milliseconds)),
    ("now.iso", Slot::Now(Unit::Iso)),
    ("exp.s", Slot::Expires(Unit::Seconds)),
    ("exp.ms", Slot::Expires(Unit::Milliseconds)),
    ("exp.iso", Slot::Expires(Unit::Iso)),
    ("ttl.s", Slot::Lifetime(Unit::Seconds)),
    ("ttl.ms", Slot::Lifetime(Unit::Milliseconds)),
    ("ttl.min", Slot::Lifetime(Unit::Minutes)),
    ("ttl.day", Slot::Lifetime(Unit::Days)),
];

impl Scope {
    fn slot(&self, name: &str) -> Option<Slot> {
        if let Some(taken) = name.strip_prefix("step.") {
            return self.taken.iter().position(|own| own == taken).map(Slot::Taken);
        }
        NAMES.iter().find(|(own, _)| *own == name).map(|(_, slot)| *slot)
    }

    /// Checks a name, notes its use, and says whether it varies.
    fn admit(&mut self, name: &str) -> Result<Option<Slot>, TemplateError> {
        if let Some(secret) = name.strip_prefix("secret.").or_else(|| name.strip_prefix("config."))
            && self.secrets.contains(secret)
        {
            return Err(TemplateError(format!(
                "\"{name}\" is a secret and could reach a claim or an output; secrets enter by «auth» and «key» only"
            )));
        }
        if let Some(setting) = name.strip_prefix("config.") {
            if self.settings.contains_key(setting) || self.unset.contains(setting) {
                return Ok(None);
            }
            let known: Vec<_> = self.settings.keys().chain(&self.unset).map(String::as_str).collect();
            return Err(TemplateError(format!("no setting \"{setting}\"; declared: {}", known.join(", "))));
        }
        let Some(slot) = self.slot(name) else {
            let known: Vec<_> = NAMES.iter().map(|(own, _)| *own).collect();
            return Err(TemplateError(format!(
                "unknown variable \"{name}\"; known: config.*, step.*, {}",
                known.join(", ")
            )));
        };
        if self.constants_only {
            return Err(TemplateError(format!(
                "\"{name}\" varies, and this place is fixed at load; use config.* only"
            )));
        }
        match slot {
            Slot::Name | Slot::DisplayName => self.uses.name = true,
            Slot::Email => self.uses.email = true,
            Slot::Avatar => self.uses.avatar = true,
            Slot::Groups => self.uses.groups = true,
            _ => {}
        }
        Ok(Some(slot))
    }
}

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

struct Rich {
    expression: minijinja::Expression<'static, 'static>,
    config: minijinja::Value,
    taken: Vec<String>,
}

impl std::fmt::Debug for Rich {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rich").finish_non_exhaustive()
    }
}

impl Expression {
    /// Compiles the text between the braces. Everything it names is checked here.
    pub(in crate::provider) fn compile(text: &str, scope: &mut Scope) -> Result<Self, TemplateError> {
        let (body, optional) = match text.strip_suffix('?') {
            Some(body) => (body.trim_end(), true),
            None => (text, false),
        };
        let form = if is_name(body) {
            match scope.admit(body)? {
                Some(slot) => Form::Slot(slot),
                None => Form::Constant(setting(body, scope)),
            }
        } else if let Some((name, shift)) = shifted(body) {
            match scope.admit(name)? {
                Some(slot @ (Slot::Now(unit) | Slot::Expires(unit))) if unit != Unit::Iso => Form::Shifted(slot, shift),
                _ => return Err(TemplateError(format!("\"{text}\": only now and exp can be moved, in s or ms"))),
            }
        } else {
            Self::rich(body, scope)?
        };
        Ok(Self { form, optional })
    }

    fn rich(text: &str, scope: &mut Scope) -> Result<Form, TemplateError> {
        let expression = ENGINE
            .compile_expression_owned(text.to_owned())
            .map_err(|error| TemplateError(format!("\"{text}\": {}", error.detail().unwrap_or("not an expression"))))?;
        let names: BTreeSet<String> = expression.undeclared_variables(true).into_iter().collect();
        let mut varies = false;
        for name in names {
            varies |= scope.admit(&name)?.is_some();
        }
        let config = minijinja::Value::from_serialize(&scope.settings);
        let rich = Rich { expression, config, taken: scope.taken.clone() };
        // The engine looks filters up when it evaluates, so one trial finds those that do not exist.
        let trial = rich.trial().map_err(|error| TemplateError(format!("\"{text}\": {error}")))?;
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

    const fn absence(&self) -> Absent {
        if self.optional { Absent::Optional } else { Absent::Required }
    }

    /// The value for one mint.
    pub(in crate::provider) fn value<'v>(&'v self, variables: &'v Variables<'_>) -> Result<Datum<'v>, Absent> {
        let value = match &self.form {
            Form::Constant(value) => value.as_ref().map(|value| Datum::Json(Cow::Borrowed(value))),
            Form::Slot(slot) => slot.value(variables),
            Form::Shifted(slot, shift) => slot.value(variables).map(|datum| match datum {
                Datum::Number(number) => Datum::Number(number.saturating_add(*shift)),
                other => other,
            }),
            Form::Rich(rich) => rich.value(variables),
        };
        match value {
            Some(datum) if !(self.optional && datum.is_empty()) => Ok(datum),
            _ => Err(self.absence()),
        }
    }
}

impl Slot {
    fn value<'v>(self, variables: &'v Variables<'_>) -> Option<Datum<'v>> {
        let text = |text: &'v str| Datum::Text(Cow::Borrowed(text));
        let profile = variables.profile;
        match self {
            Self::UserId => Some(text(variables.user_id)),
            Self::Name => profile.name.map(text),
            Self::DisplayName => Some(text(profile.display_name())),
            Self::Email => profile.email.map(text),
            Self::Avatar => profile.avatar.map(text),
            Self::Groups => Some(Datum::List(&profile.groups)),
            Self::Source => Some(text(profile.source)),
            Self::Issuer => profile.issuer.map(text),
            Self::Subject => Some(text(profile.subject)),
            Self::Now(unit) => Some(moment(variables.now, unit)),
            Self::Expires(unit) => Some(moment(variables.expires(), unit)),
            Self::Lifetime(unit) => {
                let whole = |n: u128| Datum::Number(i64::try_from(n).unwrap_or(i64::MAX));
                let seconds = u128::from(variables.ttl.as_secs());
                Some(match unit {
                    Unit::Milliseconds => whole(variables.ttl.as_millis()),
                    Unit::Minutes => whole(seconds / 60),
                    Unit::Days => whole(seconds / 86_400),
                    Unit::Seconds | Unit::Iso => whole(seconds),
                })
            }
            Self::Taken(index) => variables.taken.get(index)?.as_ref().map(|value| Datum::Json(Cow::Borrowed(value))),
        }
    }
}

fn moment(point: Timestamp, unit: Unit) -> Datum<'static> {
    match unit {
        Unit::Milliseconds => Datum::Number(point.as_millis()),
        Unit::Iso => Datum::Text(Cow::Owned(point.to_rfc3339())),
        Unit::Seconds | Unit::Minutes | Unit::Days => Datum::Number(point.as_seconds()),
    }
}

impl Rich {
    /// Evaluates with nothing but settings. Complaints about values are for later: those are not here yet.
    fn trial(&self) -> Result<Option<Value>, String> {
        use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
        match self.expression.eval(minijinja::context! { config => self.config }) {
            Ok(value) => Ok(to_json(&value)),
            Err(error) if matches!(error.kind(), UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest) => {
                Err(error.detail().unwrap_or("names a function that does not exist").to_owned())
            }
            Err(_) => Ok(None),
        }
    }

    fn value(&self, variables: &Variables<'_>) -> Option<Datum<'static>> {
        // Absent values are left out, so that `default` sees them as undefined.
        let mut context: BTreeMap<&str, BTreeMap<&str, minijinja::Value>> = BTreeMap::new();
        for (name, slot) in NAMES {
            if let (Some((room, name)), Some(datum)) = (name.split_once('.'), slot.value(variables)) {
                context.entry(room).or_default().insert(name, datum.to_engine());
            }
        }
        let mut steps: BTreeMap<&str, BTreeMap<&str, &Value>> = BTreeMap::new();
        for (name, value) in self.taken.iter().zip(variables.taken) {
            if let (Some((step, name)), Some(value)) = (name.split_once('.'), value) {
                steps.entry(step).or_default().insert(name, value);
            }
        }
        let context = minijinja::context! {
            config => self.config,
            step => steps,
            ..minijinja::Value::from_serialize(&context)
        };
        let value = self.expression.eval(context).ok()?;
        to_json(&value).map(|value| Datum::Json(Cow::Owned(value)))
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

fn setting(name: &str, scope: &Scope) -> Option<Value> {
    scope.settings.get(name.strip_prefix("config.")?).cloned()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-')
        && !text.starts_with(|c: char| c.is_ascii_digit())
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
