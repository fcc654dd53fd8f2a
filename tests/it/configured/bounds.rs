//! Numbers and spans without bounds are how a configuration that `check` calls good panics or never stops.

use std::fs;

use sidemint::config::Environment;

use crate::client::Answer;
use crate::config::mistakes;
use crate::harness::{LOCAL, Service, clock, config};

/// Every number and every span of the shipped file, which names every key there is: its place there.
fn numbers_and_spans() -> Vec<String> {
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml")).unwrap();
    let key = regex_lite::Regex::new(r"^# ([a-z_]+ = .+|\[+[a-z_.]+\]+)$").unwrap();
    let lines = shipped.lines().map(|line| key.captures(line).map_or(line, |found| found.get(1).unwrap().as_str()));
    let table: toml::Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    let mut found = Vec::new();
    let mut tables = vec![(String::new(), table)];
    while let Some((place, table)) = tables.pop() {
        for (key, value) in table {
            let place = if place.is_empty() { key } else { format!("{place}.{key}") };
            match value {
                toml::Value::Table(below) => tables.push((place, below)),
                toml::Value::Integer(_) => found.push(format!("{place} = 9223372036854775807")),
                toml::Value::String(text)
                    if humantime::parse_duration(&text).is_ok_and(|_| text.contains(['s', 'm', 'h', 'd'])) =>
                {
                    found.push(format!("{place} = \"18446744073709551615s\""));
                }
                _ => {}
            }
        }
    }
    for key in ["ttl", "deadline"] {
        let route = "path = \"/a\", answer = \"session\", provider = \"chat\"";
        found.push(format!("routes = [{{ {route}, {key} = \"18446744073709551615s\" }}]"));
    }
    found
}

/// The largest value that the complaint names, as TOML.
fn largest(complaint: &str) -> String {
    let complaint = complaint.lines().next().unwrap_or_default();
    let (_, largest) = complaint.rsplit_once(" to ").unwrap_or_else(|| panic!("no largest value: {complaint}"));
    largest.to_owned()
}

/// T-74: each of them, as large as its type allows, is refused with the largest value that is not.
#[test]
fn no_number_and_no_span_is_without_bound() {
    let keys = numbers_and_spans();
    assert!(keys.len() > 15, "{keys:?}");
    for line in keys {
        let (key, value) = line.split_once(" = ").unwrap();
        let found = mistakes(&config(LOCAL, &[(key, value)]), &Environment::default());
        let place = if key == "routes" { "routes[0]" } else { key };
        assert!(found.starts_with(&format!("config.toml: {place}")) && !largest(&found).is_empty(), "{line}: {found}");
        // A webhook, a tier or a team of which nothing is written but this key lacks others.
        let parts = ["webhooks.", "cache.shared.", "queue.redis.", "teams."];
        let is_alone = !parts.iter().any(|part| key.starts_with(part));
        assert!(!is_alone || found.lines().count() == 1, "{found}");
    }
}

/// T-74: with all of them at their largest value, the service serves and stops.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_values_are_served() {
    let mut overrides = Vec::new();
    for line in numbers_and_spans() {
        let (key, value) = line.split_once(" = ").unwrap();
        // The time that a stop may take is for the next test; a margin as long as a token lives is another mistake.
        // Webhooks, the shared tier and teams are served in tests of their own.
        if key.starts_with("routes")
            || key.starts_with("webhooks.")
            || key.starts_with("cache.shared.")
            || key.starts_with("queue.redis.")
            || key.starts_with("teams.")
            || key.contains("drain")
            || key.contains("client_margin")
        {
            continue;
        }
        let largest = largest(&mistakes(&config(LOCAL, &[(key, value)]), &Environment::default()));
        overrides.push((key.to_owned(), largest));
    }
    let overrides: Vec<(&str, &str)> = overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    let answer: Answer = service.session("alice").await;
    assert_eq!(answer.status, 200);
    service.stop().await;
}
