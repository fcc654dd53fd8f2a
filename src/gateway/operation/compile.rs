//! From `[[gateway.calls]]` of a definition to operations. What could be read in two ways is refused here.

use http::Method;
use regex_lite::Regex;
use serde_json::Value;

use super::path::PathPattern;
use super::value::ValueRule;
use super::{Declared, Operation, Operations};
use crate::definition::{Count, Key, Mistake, Mistakes, Segment, split, whole};
use crate::gateway::body::BodyRules;
use crate::provider::gateway::{AsUserRule, BodyType, Calls, Entry, Gateway, Selector};

impl Operations {
    /// Compiles the calls of `gateway`, in which settings are filled in. `ours` are query parameters that no operation has,
    /// because they carry a proof or something else of ours.
    pub fn compile(gateway: &Gateway, ours: &[String]) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut operations = Vec::new();
        for (n, calls) in gateway.calls.iter().enumerate() {
            let place = Key::of("calls").item(n);
            let mut wrong = Mistakes::default();
            if let Some(group) = wrong.note(Group::new(gateway, calls, n)) {
                group.check(ours, &mut wrong);
                for entry in calls.entries(gateway) {
                    let Some(entry) = wrong.note(entry) else { continue };
                    let operation = group.operation(&entry).map_err(|mistakes| mistakes.within(&entry.place));
                    operations.extend(wrong.note(operation).map(|operation| (entry.place.within(&place), operation)));
                }
            }
            mistakes.extend(wrong.within(&place));
        }
        // The most exact first: those without a parameter where others have one.
        operations.sort_by(|(_, one), (_, other)| one.path.rank().cmp(other.path.rank()));
        check_pairs(&operations, &mut mistakes);
        check_tenants(&operations, &mut mistakes);
        mistakes.or(Self(operations.into_iter().map(|(_, operation)| operation).collect()))
    }
}

/// Refuses two calls of one name, and two that one request could be.
fn check_pairs(operations: &[(Key, Operation)], mistakes: &mut Mistakes) {
    for (n, (place, one)) in operations.iter().enumerate() {
        for (other_place, other) in operations.iter().skip(n + 1) {
            if one.name == other.name {
                mistakes.refuse(other_place, format!("is there twice; the other one is {place}"));
                continue;
            }
            let is_same = one.path.beats(&other.path) && other.path.beats(&one.path);
            let is_ordered = one.path.beats(&other.path) != other.path.beats(&one.path);
            // G-02: two that could both win
            if one.path.meets(&other.path) && !is_ordered && (!is_same || one.method == other.method) {
                let problem = format!(
                    "could be meant by the same request as {}; narrow a parameter with params.NAME.pattern",
                    one.name
                );
                mistakes.refuse(other_place, problem);
            }
        }
    }
}

/// Refuses a parameter where another call names our tenant: what is granted for ours would reach others.
fn check_tenants(operations: &[(Key, Operation)], mistakes: &mut Mistakes) {
    for (place, own) in operations {
        // G-18: parameter in place of a tenant
        let found = operations.iter().find_map(|(_, other)| Some((own.path.takes_tenants_of(&other.path)?, other)));
        if let Some((parameter, other)) = found {
            let problem = format!(
                "has {{{parameter}}} where {} names our own, so that other tenants would be reached by it; write the \
                 same {{=config.NAME}}",
                other.name
            );
            mistakes.refuse(place, problem);
        }
    }
}

/// What the calls of a group have in common.
struct Group<'g> {
    gateway: &'g Gateway,
    calls: &'g Calls,
    n: usize,
    types: &'g [BodyType],
    /// Patterns of parameters that have one.
    patterns: Vec<(&'g str, Regex)>,
    /// Parameters that claims name.
    named: Vec<String>,
}

impl<'g> Group<'g> {
    fn new(gateway: &'g Gateway, calls: &'g Calls, n: usize) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut patterns = Vec::new();
        for (name, selector) in &calls.params {
            let place = || Key::of("params").below(name).below("pattern");
            if let Some(pattern) = &selector.pattern {
                let pattern = mistakes.note(whole(pattern).map_err(|mistake| mistake.within(place())));
                patterns.extend(pattern.map(|pattern| (name.as_str(), pattern)));
            }
        }
        let mut named = Vec::new();
        calls.claims.values().for_each(|claim| parameters_in(claim, &mut named));
        let types = calls.types(gateway);
        mistakes.or(()).map(|()| Self { gateway, calls, n, types, patterns, named })
    }

    fn rule(&self, name: &str) -> ValueRule {
        let own = self.patterns.iter().find(|(own, _)| *own == name);
        own.map_or(ValueRule::Usual, |(_, pattern)| ValueRule::Own(pattern.clone()))
    }

    /// What is wrong with the group as a whole.
    fn check(&self, ours: &[String], mistakes: &mut Mistakes) {
        let calls = self.calls;
        for (n, forbidden) in calls.forbid.iter().enumerate() {
            let place = Key::of("forbid").item(n);
            self.check_reach(
                &place,
                [forbidden.json.is_empty(), forbidden.form.is_empty(), forbidden.proto.as_slice().is_empty()],
                mistakes,
            );
            for name in forbidden.within.iter().filter(|name| !calls.names().any(|own| own == *name)) {
                mistakes.refuse(place.below("in"), format!("names \"{name}\", which is no call of this group"));
            }
        }
        for (n, selector) in calls.only.iter().enumerate() {
            let place = Key::of("only").item(n);
            self.check_reach(&place, lacks(selector), mistakes);
            if !selector.query.is_empty() || selector.pattern.is_some() {
                mistakes.refuse(place, "has query or pattern, which belong to params; remove it");
            }
        }
        for (name, selector) in calls.params.iter().filter(|(_, selector)| lacks(selector).contains(&false)) {
            self.check_reach(&Key::of("params").below(name), lacks(selector), mistakes);
        }
        if !calls.force.is_empty() && self.types != [BodyType::Json] {
            mistakes.refuse("force", "puts members into JSON; write types = [\"json\"]");
        }
        // G-09: query of ours
        for name in self.query().filter(|name| ours.contains(name) || *name == "_method") {
            mistakes.refuse(
                "query",
                format!("names \"{name}\", which is a proof, or what sidemint sets itself; remove it"),
            );
        }
    }

    /// A rule must reach every type that a body may have: what it does not reach would pass unseen. `lacks` are JSON, form and
    /// protobuf.
    fn check_reach(&self, place: &Key, lacks: [bool; 3], mistakes: &mut Mistakes) {
        let [json, form, proto] = lacks;
        for (kind, lacks, how) in [
            (BodyType::Json, json, "json = [\"/…\"]"),
            (BodyType::Form, form, "form = [\"…\"]"),
            (BodyType::Protobuf, proto, "proto = NUMBER"),
        ] {
            // G-05, G-19: rule for each type
            if lacks && self.types.contains(&kind) {
                mistakes.refuse(
                    place,
                    format!("does not say where it is in a body that is {}; write {how}", name_of(kind)),
                );
            }
        }
        if self.types.contains(&BodyType::Any) {
            mistakes.refuse(place, "looks into bodies that may be anything; write the types that they are");
        }
    }

    /// Query parameters of its calls.
    fn query(&self) -> impl Iterator<Item = &String> {
        self.calls.query.iter().chain(self.calls.params.values().flat_map(|selector| &selector.query))
    }

    fn operation(&self, entry: &Entry<'_>) -> Result<Operation, Mistakes> {
        let calls = self.calls;
        let path = PathPattern::compile(&entry.path, &self.gateway.settings, |name| self.rule(name))?;
        let method = Method::from(entry.method);
        let has_body = method != Method::GET;
        let mut declared = Vec::new();
        for (name, selector) in &calls.params {
            let is_in_body = lacks(selector).contains(&false);
            if is_in_body || !selector.query.is_empty() {
                let is_required = is_in_body && has_body && !path.parameters().any(|own| own == name);
                let (name, query) = (name.clone(), selector.query.clone());
                declared.push(Declared { rule: self.rule(&name), name, query, is_required });
            }
        }
        let body = if has_body { self.body(entry, &declared)? } else { BodyRules::default() };
        let mut query: Vec<String> = self.query().cloned().collect();
        query.sort_unstable();
        query.dedup();
        let operation = Operation {
            name: entry.name.to_owned(),
            class: entry.class,
            group: self.n,
            method,
            path,
            query,
            body,
            declared,
            named: self.named.clone(),
            as_user: calls.as_user,
            is_idempotent: calls.idempotent,
            timeout: calls.timeout.map(|span| span.0),
            max_duration: calls.max_duration.map(|span| span.0),
            max_body: calls.max_body.map(Count::size),
            is_stream: calls.stream,
        };
        self.check_operation(&operation)?;
        Ok(operation)
    }

    fn check_operation(&self, operation: &Operation) -> Result<(), Mistake> {
        if let Some(name) = self.named.iter().find(|name| !operation.may_carry(name)) {
            return Err(format!("has no parameter {name}, which its claims name").into());
        }
        if operation.as_user == AsUserRule::Forbidden {
            return Ok(());
        }
        let Some(as_user) = &self.gateway.as_user else {
            return Err("is made for a user, and [gateway] has no as_user".into());
        };
        if as_user.json.is_some() && (self.types != [BodyType::Json] || !operation.has_body()) {
            return Err("is made for a user, whose id is put into a JSON body, and has none".into());
        }
        Ok(())
    }

    fn body(&self, entry: &Entry<'_>, declared: &[Declared]) -> Result<BodyRules, Mistakes> {
        let mut rules = BodyRules { types: self.types.to_vec(), ..BodyRules::default() };
        let mut mistakes = Mistakes::default();
        let calls = self.calls;
        for forbidden in calls.forbid.iter().filter(|forbidden| forbidden.holds_for(entry.name)) {
            for pointer in &forbidden.json {
                mistakes.note(rules.json.deny(pointer).map_err(|wrong| wrong.within("forbid")));
            }
            rules.form.denied.extend(forbidden.form.iter().cloned());
            rules.fields.denied.extend(forbidden.proto.as_slice());
        }
        if !calls.only.is_empty() {
            // A parameter is one of the members that there may be.
            for selector in calls.only.iter().chain(calls.params.values()) {
                for pointer in &selector.json {
                    mistakes.note(rules.json.allow(pointer).map_err(|wrong| wrong.within("only")));
                }
                rules.form.allowed.get_or_insert_default().extend(selector.form.iter().cloned());
                rules.fields.allowed.get_or_insert_default().extend(selector.proto.as_slice());
            }
        }
        for (pointer, value) in &calls.force {
            mistakes.note(rules.json.force(pointer, value).map_err(|wrong| wrong.within("force")));
        }
        for (n, own) in declared.iter().enumerate() {
            let Some(selector) = calls.params.get(&own.name) else { continue };
            for pointer in &selector.json {
                mistakes.note(
                    rules.json.find(pointer, n).map_err(|wrong| wrong.within(Key::of("params").below(&own.name))),
                );
            }
            rules.form.parameters.extend(selector.form.iter().map(|name| (name.clone(), n)));
            rules.fields.parameters.extend(selector.proto.as_slice().iter().map(|number| (*number, n)));
        }
        if let Some(pointer) = self.gateway.as_user.as_ref().and_then(|as_user| as_user.json.as_ref()) {
            mistakes.note(rules.json.put_user(pointer).map_err(|wrong| wrong.within("as_user")));
            rules.form.denied.extend(pointer.split('/').nth(1).map(str::to_owned)); // G-10: user in a form
            rules.says_user = true;
        }
        mistakes.note(rules.json.settle());
        mistakes.or(rules)
    }
}

/// Whether it stands nowhere in JSON, in a form, in protobuf.
fn lacks(selector: &Selector) -> [bool; 3] {
    [selector.json.is_empty(), selector.form.is_empty(), selector.proto.as_slice().is_empty()]
}

fn name_of(kind: BodyType) -> &'static str {
    match kind {
        BodyType::Json => "JSON",
        BodyType::Form => "a form",
        BodyType::Protobuf => "protobuf",
        BodyType::Any => "anything",
    }
}

/// Adds the names that a template has as `param.NAME`.
fn parameters_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let segments = split(text).unwrap_or_default();
            let expressions =
                segments.iter().filter_map(|own| if let Segment::Expression(text) = own { Some(text) } else { None });
            for name in expressions.flat_map(|text| text.split("param.").skip(1)) {
                let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
                let name = name.get(..end).unwrap_or_default().to_owned();
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| parameters_in(item, found)),
        Value::Object(members) => members.values().for_each(|member| parameters_in(member, found)),
        _ => {}
    }
}
