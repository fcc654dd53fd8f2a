//! `[gateway]` as it stands in a definition, and how the settings and calls of an operator get into it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Auth, Gateway, Listed, OneOrMany, OwnGateway};
use crate::definition::{Key, Mistake, Mistakes, Setting, each_text, fill_between, named_in, read};

/// `[gateway]` as it stands in a definition. Settings in it are filled in where a mount names the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct GatewaySection(Map<String, Value>);

/// Members that hold templates, which are compiled with the rest of the definition.
const TEMPLATES: [&str; 4] = ["base", "auth", "set", "error"];
/// The one of them in each group of calls.
const CLAIMS: &str = "claims";
/// What stands in the form of a key until one is made.
const IN_FORMS: [&str; 2] = ["key", "caller"];

impl GatewaySection {
    /// Checks the shape: settings stand for text only, so it is known without an operator.
    pub(in crate::provider) fn check(&self) -> Result<(), Mistake> {
        let mut mistakes = Mistakes::default();
        let gateway = read::<Gateway>(&self.0, &mut mistakes);
        match mistakes.into_iter().next() {
            Some(mistake) => Err(mistake.within("gateway")),
            None if gateway.is_none() => Err(Mistake::new("gateway", "cannot be read")),
            None => Ok(()),
        }
    }

    /// How many groups of calls it has.
    pub fn groups(&self) -> usize {
        self.0.get("calls").and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Settings that calls use, secret ones too: in `{{ … }}`, as `{=config.NAME}`, in `needs`, as `paths`, and in what proves
    /// who is calling, which is `auth` where the section does not say.
    pub fn names(&self, auth: Option<&OneOrMany<Auth>>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for value in self.0.values() {
            each_text(value, &Key::default(), &mut |_, text| found.extend(named(text)));
        }
        found.extend(self.needs().map(str::to_owned));
        found.extend(self.0.get("paths").and_then(Value::as_str).map(str::to_owned));
        let own =
            self.0.get("auth").map(|own| read::<OneOrMany<Auth>>(own, &mut Mistakes::default()).unwrap_or_default());
        let auths = own.as_ref().or(auth).map_or(&[][..], OneOrMany::as_slice);
        found.extend(auths.iter().flat_map(Auth::settings));
        found
    }

    /// Settings that must have a value.
    pub fn needs(&self) -> impl Iterator<Item = &str> {
        self.0.get("needs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The section with the values of settings and what the operator adds in it. Keys of mistakes begin with `gateway`, the
    /// calls of the operator behind those of the definition, or with the setting that is wrong.
    pub fn filled(
        &self,
        own: &Map<String, Value>,
        values: &BTreeMap<String, Value>,
        declared: &BTreeMap<String, Setting>,
    ) -> Result<Gateway, Mistakes> {
        let (mut mistakes, mut in_section) = (Mistakes::default(), Mistakes::default());
        let added = read::<OwnGateway>(own, &mut in_section).unwrap_or_default();
        let mut members = self.0.clone();
        if let Value::Array(groups) = members.entry("calls").or_insert_with(|| Value::Array(Vec::new())) {
            groups.extend(added.calls.iter().cloned().map(Value::Object));
        }
        let templates = take_templates(&mut members);
        let members = Value::Object(members);
        check_settings(&members, values, declared, &mut mistakes, &mut in_section);
        let settings = constants(&members, values);
        if !(mistakes.is_empty() && in_section.is_empty()) {
            mistakes.extend(in_section.within("gateway"));
            return Err(mistakes);
        }
        let filled = in_section.note(fill_between(members, values, &IN_FORMS, &Key::default())).flatten();
        let filled = filled.map(|filled| with_templates(filled, templates));
        let read = filled.and_then(|filled| read::<Gateway>(&filled, &mut in_section));
        let gateway = read.map(|gateway| {
            let mut gateway = Gateway { settings, own_groups: self.groups(), ..gateway };
            take_paths(&mut gateway, values, &mut mistakes, &mut in_section);
            added.lift(&mut gateway, &mut in_section);
            gateway
        });
        mistakes.extend(in_section.within("gateway"));
        match gateway {
            Some(gateway) => mistakes.or(gateway),
            None => Err(mistakes),
        }
    }
}

/// What `take_templates` took: members of the section, and the claims of each group.
struct Templates {
    members: Map<String, Value>,
    claims: Vec<Option<Value>>,
}

fn take_templates(members: &mut Map<String, Value>) -> Templates {
    let taken = TEMPLATES.iter().filter_map(|name| Some(((*name).to_owned(), members.remove(*name)?))).collect();
    let groups = members.get_mut("calls").and_then(Value::as_array_mut).into_iter().flatten();
    let claims = groups.map(|group| group.as_object_mut().and_then(|group| group.remove(CLAIMS))).collect();
    Templates { members: taken, claims }
}

fn with_templates(mut filled: Value, templates: Templates) -> Value {
    let groups = filled.get_mut("calls").and_then(Value::as_array_mut).into_iter().flatten();
    for (group, claims) in groups.zip(templates.claims) {
        if let (Some(group), Some(claims)) = (group.as_object_mut(), claims) {
            group.insert(CLAIMS.to_owned(), claims);
        }
    }
    if let Some(members) = filled.as_object_mut() {
        members.extend(templates.members);
    }
    filled
}

/// Settings that a text names, in expressions and as `{=config.NAME}`.
fn named(text: &str) -> Vec<String> {
    named_in("config.", text).into_iter().chain(constants_in(text).map(str::to_owned)).collect()
}

/// Settings that a path must hold: `{=config.NAME}`.
fn constants_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("{=config.").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn constants(members: &Value, values: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    each_text(members, &Key::default(), &mut |_, text| {
        for name in constants_in(text) {
            let value = values.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            found.extend(value.map(|value| (name.to_owned(), value)));
        }
    });
    found
}

/// What is filled in must be a setting that has a value and is no secret.
fn check_settings(
    members: &Value,
    values: &BTreeMap<String, Value>,
    declared: &BTreeMap<String, Setting>,
    mistakes: &mut Mistakes,
    in_section: &mut Mistakes,
) {
    let mut missing = BTreeSet::new();
    each_text(members, &Key::default(), &mut |place, text| {
        for name in named(text) {
            let setting = declared.get(&name);
            if setting.is_some_and(|setting| setting.secret) {
                // G-13: secrets in the section
                in_section.refuse(place, format!("\"config.{name}\" is a secret; secrets enter calls by «auth» only"));
            } else if setting.is_some_and(|setting| setting.part_of.is_some()) {
                let problem = "is part of a secret that may change, and this place is fixed before that is read";
                in_section.refuse(place, format!("\"config.{name}\" {problem}"));
            } else if setting.is_none() {
                in_section.refuse(place, format!("no setting \"{name}\""));
            } else if !values.contains_key(&name) && !text.contains(&format!("config.{name}?")) {
                missing.insert(name);
            }
        }
    });
    for name in missing {
        let about = declared.get(&name).map_or("", |setting| setting.about.trim_end_matches('.'));
        mistakes.refuse(Key::of(&name), format!("is missing; its gateway needs {name} = \"…\" ({about})"));
    }
}

/// Gives calls that are listed by name the paths of the setting that `paths` names. Those without one are off.
fn take_paths(
    gateway: &mut Gateway,
    values: &BTreeMap<String, Value>,
    mistakes: &mut Mistakes,
    in_section: &mut Mistakes,
) {
    let setting = gateway.paths.clone();
    let empty = Map::new();
    let paths = setting.as_ref().and_then(|setting| values.get(setting)).and_then(Value::as_object).unwrap_or(&empty);
    let mut left: BTreeSet<&String> = paths.keys().collect();
    for (n, group) in gateway.calls.iter_mut().enumerate() {
        for listed in [&mut group.read, &mut group.write, &mut group.destroy, &mut group.secret] {
            let Listed::Names(names) = listed else { continue };
            if setting.is_none() && !names.is_empty() {
                let problem = "lists names, and «paths» names no setting that gives their paths";
                in_section.refuse(Key::of("calls").item(n), problem);
            }
            left.retain(|name| !names.contains(name));
            let path = |name: &String| Some((name.clone(), paths.get(name)?.as_str()?.to_owned()));
            *listed = Listed::Paths(names.iter().filter_map(path).collect());
        }
    }
    for name in left {
        let place = Key::of(setting.as_deref().unwrap_or_default()).below(name);
        mistakes.refuse(place, "is the name of no call of this provider");
    }
}

/// In the schema of definitions, it is what it is filled to.
#[cfg(test)]
impl schemars::JsonSchema for GatewaySection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Gateway::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Gateway::json_schema(generator)
    }
}
