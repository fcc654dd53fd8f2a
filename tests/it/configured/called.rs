//! Providers that applications call: what is asked for where no route names one, and what `check` tells of it.

use std::fs;

use sidemint::app::Blueprint;
use sidemint::config::{Environment, Sources};

use crate::harness::{LOCAL, clock, config};

/// A definition that makes no token.
const DEFINITION: &str = r#"
name = "parcels"
summary = "Calls alone."
[settings.api_url]
about = "Address."
kind = "url"
[settings.api_key]
about = "Key."
secret = true
optional = true
[gateway]
needs = ["api_key"]
base = "{{ config.api_url }}/v1"
auth = { bearer = "api_key" }
[[gateway.calls]]
read = { "parcel.list" = "GET /parcels" }
"#;

const GATEWAY: &str = r#"
[gateway]
listen = "127.0.0.1:8070"
[[gateway.mounts]]
provider = "parcels"
listen = "127.0.0.1:8071"
[gateway.callers.shop]
networks = ["127.0.0.0/8"]
[[gateway.callers.shop.grants]]
provider = "parcels"
allow = ["default"]
[providers.parcels]
preset = "parcels"
"#;

/// What `check` says of a gateway with these settings of the provider.
fn checked(settings: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let (file, definitions, key) =
        (folder.path().join("sidemint.toml"), folder.path().join("definitions"), folder.path().join("key"));
    fs::create_dir(&definitions).unwrap();
    fs::write(definitions.join("parcels.toml"), DEFINITION).unwrap();
    fs::write(&key, "the key of the parcels").unwrap();
    let settings = settings.replace("KEY", &key.display().to_string());
    fs::write(&file, config(&format!("{LOCAL}{GATEWAY}{settings}"), &[])).unwrap();
    let sources = Sources { files: vec![file], definitions: Some(definitions), ..Sources::default() };
    let here = |text: String| text.replace(&folder.path().display().to_string(), "HERE");
    match Blueprint::load(&sources, &Environment::default(), clock()) {
        Ok(blueprint) => Ok(here(blueprint.to_string())),
        Err(errors) => Err(here(errors.to_string())),
    }
}

#[test]
fn a_provider_that_only_a_mount_names_is_asked_for_what_calls_need() {
    let told = checked("api_url = \"https://parcels.test\"\n").unwrap_err();
    assert_eq!(
        told,
        "HERE/sidemint.toml: providers.parcels.api_key_file: is missing, and its gateway needs it; write api_key_file = \
         \"/path\" (Key)"
    );
    let told = checked("api_url = \"https://parcels.test\"\napi_key_file = \"KEY\"\n").unwrap();
    assert!(told.contains("calls of        parcels: preset parcels, at https://parcels.test/v1\n"), "{told}");
    assert!(told.contains("secret          parcels: api_key from HERE/key\n"), "{told}");
    let told = checked("api_url = \"http://parcels.example.com\"\napi_key_file = \"KEY\"\n").unwrap();
    let caution = "warning         parcels: secrets go to parcels.example.com without encryption; write https://\n";
    assert!(told.contains(caution), "{told}");
}

/// G-26: calls that would come back to the gateway are refused, whichever listener of ours they reach.
#[test]
fn calls_that_would_come_back_are_refused_at_load() {
    for (url, listener) in [
        ("http://127.0.0.1:8070", "gateway.listen (127.0.0.1:8070)"),
        ("http://localhost:8071", "gateway.mounts[0].listen (127.0.0.1:8071)"),
    ] {
        let told = checked(&format!("api_url = \"{url}\"\napi_key_file = \"KEY\"\n")).unwrap_err();
        let problem = format!(
            "HERE/sidemint.toml: providers.parcels.api_url: leads to {listener}, which is sidemint itself; write the \
             provider's address"
        );
        assert_eq!(told, problem);
    }
}
