//! The page of each provider of the gateway lists the operations of its preset, as the preset has them.
//!
//! `UPDATE_PAGES=1` writes the lists anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use sidemint::provider::PRESETS;
use toml::{Table, Value};

use crate::docs::root;

/// What stands before a list.
const MARK: &str = "<!-- Written by the tests from the preset: UPDATE_PAGES=1. -->\n";

/// Name and `[gateway]` of every preset that has one.
fn sections() -> Vec<(&'static str, Table)> {
    let section = |(name, text): &(&'static str, &str)| {
        let preset: Table = text.parse().expect(name);
        Some((*name, preset.get("gateway")?.as_table()?.clone()))
    };
    PRESETS.iter().filter_map(section).collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

/// Names of an entry's members: `"/a", "/b"` of `json`, or those of `form`.
fn members(rule: &Table) -> Vec<String> {
    ["json", "form"].iter().flat_map(|key| texts(rule.get(*key))).collect()
}

/// `METHOD /path` of an entry, or nothing where the operator says it.
fn call(gateway: &Table, group: &Table, entry: &str) -> String {
    let method = text(group, "method").or_else(|| text(gateway, "method"));
    let (method, path) = entry.split_once(' ').unwrap_or_else(|| (method.expect("a method"), entry));
    let prefix = text(group, "prefix").or_else(|| text(gateway, "prefix")).unwrap_or_default();
    format!("`{method} {prefix}{path}`")
}

/// Parameters of an operation, those of its path first.
fn parameters(group: &Table, call: &str) -> String {
    let in_path = call.split('{').skip(1).filter_map(|part| part.split('}').next());
    let mut names: Vec<String> = in_path.filter(|name| !name.starts_with('=')).map(str::to_owned).collect();
    let declared = group.get("params").and_then(Value::as_table).into_iter().flat_map(Table::keys);
    names.extend(declared.filter(|name| !call.contains(&format!("{{{name}}}"))).cloned());
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What else holds for an operation.
fn remarks(group: &Table, name: &str) -> String {
    let mut remarks = Vec::new();
    match text(group, "as_user") {
        Some("required") => remarks.push("for a user".to_owned()),
        Some("allowed") => remarks.push("or for a user".to_owned()),
        _ => {}
    }
    let rules = group.get("forbid").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    let holds = |rule: &&Table| rule.get("in").is_none_or(|within| texts(Some(within)).iter().any(|own| own == name));
    let forbidden: Vec<String> = rules.filter(holds).flat_map(members).map(|own| format!("`{own}`")).collect();
    if !forbidden.is_empty() {
        remarks.push(format!("not {}", forbidden.join(", ")));
    }
    let forced = group.get("force").and_then(Value::as_table).into_iter().flat_map(Table::keys);
    let forced: Vec<String> = forced.map(|own| format!("`{own}`")).collect();
    if !forced.is_empty() {
        remarks.push(format!("{} is ours", forced.join(", ")));
    }
    remarks.join("; ")
}

/// The list of a preset.
fn list(gateway: &Table) -> String {
    let mut lines = BTreeSet::new();
    for group in gateway["calls"].as_array().expect("groups").iter().filter_map(Value::as_table) {
        for (place, class) in ["read", "write", "destroy", "secret"].iter().enumerate() {
            let entries: Vec<(String, String)> = match group.get(*class) {
                Some(Value::Table(table)) => {
                    let own = |(name, entry): (&String, &Value)| (name.clone(), entry.as_str().expect(name).to_owned());
                    table.iter().map(own).map(|(name, entry)| (name, call(gateway, group, &entry))).collect()
                }
                Some(names) => texts(Some(names)).into_iter().map(|name| (name, "yours".to_owned())).collect(),
                None => Vec::new(),
            };
            for (name, call) in entries {
                let (parameters, remarks) = (parameters(group, &call), remarks(group, &name));
                lines.insert((
                    place,
                    name.clone(),
                    format!("| `{name}` | {class} | {call} | {parameters} | {remarks} |"),
                ));
            }
        }
    }
    let mut list = "| operation | class | call | parameters | |\n|---|---|---|---|---|\n".to_owned();
    for (_, _, line) in lines {
        writeln!(list, "{line}").expect("text");
    }
    list
}

#[test]
fn every_preset_with_operations_has_a_page_that_lists_them() {
    for (name, gateway) in sections() {
        let path = root().join(format!("docs/gateway/{name}.md"));
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (before, own) = page.split_once(MARK).unwrap_or_else(|| panic!("{name} has no {MARK}"));
        let list = list(&gateway);
        if std::env::var_os("UPDATE_PAGES").is_some() {
            fs::write(&path, format!("{before}{MARK}\n{list}")).expect("written");
            continue;
        }
        assert_eq!(
            own.trim_start(),
            list,
            "{name}: UPDATE_PAGES=1 cargo nextest run --test it every_preset_with_operations"
        );
    }
}
