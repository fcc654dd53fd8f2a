//! Mistakes in `[cache.shared]`.

use sidemint::config::Environment;

use crate::config::mistakes;
use crate::harness::{LOCAL, config};

/// A tier that is written as it should be.
const GOOD: &str = "
[cache.shared]
urls = [\"rediss://tier.example:6379\"]
fleet = \"prod-eu\"
names_file = \"DIR/names\"
key_dir = \"DIR/keys\"
";

/// What is said of the tier where keys have other values; an empty value takes the key away.
fn said(others: &[(&str, &str)]) -> String {
    let mut good: toml::Table = GOOD.parse().unwrap();
    let section = good["cache"]["shared"].as_table_mut().unwrap();
    for (key, value) in others {
        section.remove(*key);
        if !value.is_empty() {
            let line: toml::Table = format!("{key} = {value}").parse().unwrap();
            section.extend(line);
        }
    }
    let found = mistakes(&config(&format!("{LOCAL}\n{good}"), &[]), &Environment::default());
    // The files that it names are nowhere.
    let told = found.lines().filter(|line| !line.contains("No such file"));
    told.map(|line| line.replace("config.toml: cache.shared.", "")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_key_of_the_tier_says_what_to_write() {
    assert_eq!(said(&[]), "");
    for (others, told) in [
        (&[("fleet", "\"\"")][..], "fleet: names who shares with whom"),
        (&[("fleet", "\"prod:eu\"")], "fleet: names who shares with whom"),
        (&[("urls", "[]")], "urls: needs one to"),
        (&[("urls", "[\"tier.example\"]")], "urls: holds what is not an address; write \"rediss://tier.example:6379\""),
        (&[("urls", "[\"rediss://sidemint:pw@tier.example\"]")], "urls: holds a user or a password; write them as"),
        (&[("urls", "[\"rediss://tier.example/2\"]")], "urls: holds more than scheme, host and port"),
        (&[("urls", "[\"redis://10.0.0.1:6379\"]")], "urls: \"redis://10.0.0.1:6379\" is reached without TLS"),
        (&[("urls", "[\"rediss://a\", \"rediss://b\"]")], "urls: names several servers"),
        (&[("service", "\"tier\"")], "service: is for mode = \"sentinel\" alone; remove it"),
        (&[("mode", "\"sentinel\"")], "service: is missing; write what the sentinels call the service"),
        (&[("username", "\"sidemint\"")], "password_file: is missing: a user has a password"),
        (&[("sentinel_password_file", "\"/x\"")], "sentinel_password_file: is for mode = \"sentinel\" alone"),
        (&[("client_cert_file", "\"/x\"")], "client_key_file: is missing beside client_cert_file"),
        (&[("client_key_file", "\"/x\"")], "client_cert_file: is missing beside client_key_file"),
        (&[("names_file", "")], "names_file: is missing: what replicas share is named and sealed"),
        (&[("key_dir", "")], "key_dir: is missing: what replicas share is named and sealed"),
        (&[("timeout", "\"51ms\"")], "timeout: "),
        (&[("expect_replicas", "0")], "expect_replicas: "),
        (&[("cut_off", "\"drop\"")], "cut_off: "),
        (&[("fleet_name", "\"x\"")], "fleet_name: unknown key; known here: mode, service, urls, fleet"),
        (
            &[("urls", "[\"redis://127.0.0.1\"]"), ("ca_file", "\"/x\"")],
            "ca_file: is for TLS; write urls that begin with rediss://, or remove it",
        ),
    ] {
        let found = said(others);
        assert!(found.starts_with(told) && found.lines().count() == 1, "{others:?}: {found}");
    }
    assert_eq!(said(&[("urls", "[\"redis://10.0.0.1\"]"), ("insecure_plaintext", "true")]), "");
    let both = said(&[("fleet", "\"\""), ("names_file", "")]);
    assert_eq!(both.lines().count(), 2, "all mistakes in one pass: {both}");
}
