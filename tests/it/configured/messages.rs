//! Sentences about mistakes: the place, what is wrong there, and what to write.

use std::fs;

use sidemint::config::Environment;

use crate::cli::run;
use crate::config::mistakes;
use crate::harness::{LOCAL, clock, config, draw_with};

const KEYCLOAK: &str = "
[identity.sources.keycloak]
issuer = \"ISSUER\"
audience = \"chat\"
";

fn found(text: &str) -> String {
    mistakes(text, &Environment::default())
}

#[test]
fn what_is_not_toml_is_told_with_line_column_and_line() {
    for (line, told) in [
        (
            "networks = [\"10.0.0.0/8\" \"::1/128\"]",
            "column 26: invalid array, expected `]`; the line reads networks = [\"…\" \"…\"]",
        ),
        ("listen = 127.0.0.1:8080", "; the line reads listen = …"),
        ("listen = \"127.0.0.1", "; the line reads listen = \"…"),
        ("listen", "the line reads …"),
        ("canPublish = =", "the line reads … = ="),
    ] {
        let found = found(&format!("# a comment\n{line}\n"));
        assert!(
            found.starts_with("config.toml: is not TOML in line 2, column ") && found.ends_with(told),
            "{line}: {found}"
        );
    }
}

/// T-36: a line that is shown may hold a secret, and shows none.
#[test]
fn a_line_that_is_not_toml_shows_no_value() {
    for line in [
        "api_key = canary",
        "api_key = \"canary",
        "api_key = [\"canary\", canary]",
        "Canary",
        "canary",
        "CaNaRy-canary==",
        "Canary=canary",
        "a = { b = canary",
        "a = \"\"\"\ncanary",
    ] {
        let found = found(line).to_lowercase();
        assert!(found.contains("is not toml") && !found.contains("canary"), "{line}: {found}");
    }
}

#[test]
fn all_stages_are_told_in_one_run() {
    let keycloak = KEYCLOAK.replace("ISSUER", "http://127.0.0.1:8081/realms/a");
    let text = config(
        &format!("{LOCAL}{keycloak}"),
        &[
            ("identity.source", "[\"plain\", \"keycloak\"]"),
            ("server.workers", "\"many\""),
            ("providers.chat.retries", "99"),
            ("providers.chat.audiance", "\"x\""),
        ],
    );
    let found = found(&text);
    for told in [
        "server.workers: is \"many\", write a whole number from 0 to 1024",
        "providers.chat.retries: is 99, write a whole number from 0 to 10",
        "providers.chat.audiance: preset \"local\" has no such setting",
        "http needs identity.sources.keycloak.keys.network = \"private\"",
        "identity.sources.keycloak.namespace: is missing",
        "identity.sources.plain.namespace: is missing",
    ] {
        assert!(found.contains(told), "no {told} in\n{found}");
    }
}

#[test]
fn a_key_in_the_wrong_table_of_a_source_says_where_it_belongs() {
    let keycloak = KEYCLOAK.replace("ISSUER", "https://idp.example/realms/a");
    let text = |line: &str| config(&format!("{LOCAL}{keycloak}{line}\n"), &[("identity.source", "\"keycloak\"")]);
    let said = found(&text("network = \"private\""));
    assert!(said.contains("keycloak.network: unknown key") && said.ends_with("did you mean keys.network?"), "{said}");
    assert!(said.contains("its settings: ") && said.contains("audience"), "{said}");
    let said = found(&text("isuer = \"x\""));
    assert!(said.ends_with("did you mean issuer?"), "{said}");
}

#[test]
fn an_expression_that_is_none_says_column_character_and_rule() {
    let claims = |value: &str| found(&config(LOCAL, &[("providers.chat.claims", &format!("{{ k = \"{value}\" }}"))]));
    assert_eq!(
        claims("{{ user.groups? | join('|') }}"),
        "config.toml: providers.chat.claims.k: \"user.groups? | join('|')\": ? in column 12 has no meaning there; a ? stands once, \
         at the end: {{ user.groups | join(',') ? }}"
    );
    assert!(claims("{{ user.id @ 2 }}").contains("@ in column 9 has no meaning there"));
    for good in ["{{ user.groups | join('}}') }}", "{{ user.groups | join('|')? }}", "{{ 'staff?' in user.groups }}"] {
        assert_eq!(claims(good), "", "{good}");
    }
}

#[test]
fn numbers_of_a_definition_have_bounds() {
    let own = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/presets/sendsar.toml")).unwrap();
    let own = own.replace("name = \"sendsar\"", "name = \"own\"");
    let text = config(LOCAL, &[("providers.own", "{ preset = \"own\", api_key_file = \"/nowhere/key\" }")]);
    for (line, told) in [
        ("[limits]\nqueue = 100000000\n", "limits.queue: is 100000000, write a whole number from 0 to 100000"),
        ("[limits]\nburst = 4000000000\n", "limits.burst: is 4000000000, write a whole number from 1 to 1000000"),
        ("[user]\nmax_bytes = 0\n", "user.max_bytes: is 0, write a whole number from 1 to 4096"),
    ] {
        // A table that the preset has is the one that gets the line.
        let (table, _) = line.split_once('\n').unwrap();
        let definition =
            if own.contains(table) { own.replace(&format!("{table}\n"), line) } else { format!("{own}\n{line}") };
        let found =
            draw_with(&text, &Environment::default(), clock(), &[("own", &definition)]).unwrap_err().to_string();
        assert!(found.contains(&format!("own.toml: {told}")), "{line}: {found}");
    }
    let endless = own.replace("default = \"1h\"", "default = \"18446744073709551615s\"");
    let found = draw_with(&text, &Environment::default(), clock(), &[("own", &endless)]).unwrap_err().to_string();
    assert!(found.contains("own.toml: lifetime.default: is \"18446744073709551615s\", write a span of time as text, from \"0s\" to \"10years\""), "{found}");
    let two = own.replace("default = \"1h\"", "default = 3600\ncolour = \"red\"");
    let found = draw_with(&text, &Environment::default(), clock(), &[("own", &two)]).unwrap_err().to_string();
    for told in
        ["own.toml: lifetime.default: is 3600, write a span", "own.toml: lifetime.colour: unknown key; known here: "]
    {
        assert!(found.contains(told), "all mistakes of a definition in one pass, each at its key: {found}");
    }
}

#[test]
fn inputs_that_mint_needs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s"), "0123456789abcdef0123456789abcdef").unwrap();
    let route = "\n[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"livekit\"\npublic_api_url = \"wss://a.example\"\napi_key = \"k\"\nallow_rooms = [\"*\"]\n";
    let secret = format!("{route}api_secret_file = \"{}/s\"\n", folder.path().display());
    let file = folder.path().join("config.toml");
    fs::write(&file, config(&secret, &[])).unwrap();
    let mint = |more: &[&str]| {
        run(&[&["--config", file.to_str().unwrap(), "mint", "--user", "alice"], more].concat(), &[]).err
    };
    assert_eq!(mint(&[]), "sidemint: --input: room: is missing; write --input room=…; there are room\n");
    assert_eq!(
        mint(&["--input", "room_name=a"]),
        "sidemint: --input: room_name: not a declared input; there are room\n"
    );
    assert_eq!(
        mint(&["--input", "rooms=a"]),
        "sidemint: --input: rooms: not a declared input; there are room; did you mean room?\n"
    );
    assert!(
        mint(&["--route", "/b"]).contains("--route: no such route; configured: /a"),
        "{}",
        mint(&["--route", "/b"])
    );
}

#[test]
fn help_groups_options_and_offers_what_a_verb_reads() {
    let help = |verb: &str| run(&[verb, "--help"], &[]).out;
    for verb in ["check", "mint", "doctor", "serve", "healthcheck"] {
        let help = help(verb);
        let (own, configuration) = help.split_once("\nConfiguration:\n").unwrap_or_else(|| panic!("{verb}: {help}"));
        assert!(configuration.contains("--listen") && !own.contains("--config-dir"), "{verb}: {help}");
    }
    for verb in ["keygen", "presets"] {
        let help = help(verb);
        assert!(!help.contains("--listen") && !help.contains("--config"), "{verb}: {help}");
    }
    assert!(help("presets").contains("--definitions"));
    let listed = run(&["presets"], &[]).out;
    let columns: Vec<usize> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| line.len() - line.trim_start_matches(|c: char| c != ' ').trim_start().len())
        .collect();
    assert!(columns.len() > 40 && columns.iter().all(|column| *column == columns[0]), "{listed}");
    assert!(run(&["presets", "sendser"], &[]).err.ends_with("; did you mean sendsar?\n"));
}
