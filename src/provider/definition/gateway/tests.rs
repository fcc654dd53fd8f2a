//! Sections as definitions write them, with settings and an operator's calls in them.

use serde_json::json;

use super::*;
use crate::definition::{Mistakes, Setting};

const SECTION: &str = r#"
needs = ["app_key"]
base = "{{ config.api_url }}/v1"
auth = { header = "{{ config.key_header }}", secret = "app_key" }
set = { query = { app = "{{ config.app_id }}", at = "{{ now.s }}" } }
virtual = { key_id = "iss", form = "sk_{{ key }}" }
as_user = { header = "{{ config.user_header }}", id = "provider", pattern = "[0-9a-f-]{36}" }
error = { code = "{{ error.code }}" }
method = "POST"
prefix = "/apps/{=config.app_id}"
paths = "own_paths"
[[calls]]
claims = { video = { room = "{{ param.room }}" } }
force = { "/app_id" = "{{ config.app_id }}" }
params = { room = { json = ["/room"], proto = 1 } }
forbid = [{ json = ["/egress"], proto = 6 }, { json = ["/permission"], form = ["Permission"], in = ["room.join"] }]
write = { "room.create" = "/rooms/{app_id}", "room.join" = "PUT /rooms/{room}" }
[[calls]]
as_user = "required"
prefix = "/"
read = ["user.list", "app.get"]
"#;

const SETTINGS: &str = r#"
api_url = { about = "Address.", kind = "url" }
app_id = { about = "App." }
app_key = { about = "Key.", secret = true, optional = true }
key_header = { about = "Header of the key.", optional = true }
user_header = { about = "Header of the user.", optional = true }
own_paths = { about = "Paths.", kind = "table", optional = true }
region = { about = "Part of the key.", part_of = { secret = "app_key", before = ":" } }
"#;

fn filled(section: &str, own: &str, more: &[(&str, Value)]) -> Result<Gateway, Mistakes> {
    let section: GatewaySection = toml::from_str(section).expect("a section");
    section.check().expect("a shape");
    let declared: BTreeMap<String, Setting> = toml::from_str(SETTINGS).expect("settings");
    let mut values: BTreeMap<String, Value> =
        [("api_url", json!("https://chat.test")), ("app_id", json!("a1"))].map(|(k, v)| (k.to_owned(), v)).into();
    values.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    section.filled(&toml::from_str(own).expect("a table"), &values, &declared)
}

fn given() -> [(&'static str, Value); 3] {
    let paths = json!({ "user.list": "GET /users" });
    [("key_header", json!("X-Key")), ("user_header", json!("X-User")), ("own_paths", paths)]
}

fn told(outcome: Result<Gateway, Mistakes>) -> Vec<String> {
    outcome.expect_err("refused").iter().map(ToString::to_string).collect()
}

#[test]
fn settings_are_filled_in_and_templates_stay() {
    let gateway = filled(SECTION, "", &given()).expect("filled");
    assert_eq!(gateway.base, "{{ config.api_url }}/v1");
    assert_eq!(gateway.set.query["at"], "{{ now.s }}");
    assert_eq!(gateway.calls[0].claims["video"]["room"], "{{ param.room }}");
    assert_eq!(gateway.calls[0].force["/app_id"], "a1");
    assert_eq!(gateway.as_user.as_ref().and_then(|own| own.header.as_deref()), Some("X-User"));
    assert_eq!(gateway.virtual_key.as_ref().and_then(|own| own.form.as_deref()), Some("sk_{{ key }}"));
    assert_eq!(gateway.settings, [("app_id".to_owned(), "a1".to_owned())].into());
}

#[test]
fn each_call_has_a_method_and_a_path() {
    let gateway = filled(SECTION, "", &given()).expect("filled");
    let entries: Vec<_> =
        gateway.calls.iter().flat_map(|group| group.entries(&gateway)).map(|entry| entry.expect("an entry")).collect();
    let shown: Vec<_> = entries.iter().map(|own| (own.name, own.method, own.path.as_str(), own.class)).collect();
    let base = "/apps/{=config.app_id}/rooms";
    assert_eq!(
        shown,
        [
            ("room.create", CallMethod::Post, &*format!("{base}/{{app_id}}"), OperationClass::Write),
            ("room.join", CallMethod::Put, &*format!("{base}/{{room}}"), OperationClass::Write),
            ("user.list", CallMethod::Get, "//users", OperationClass::Read),
        ],
        "app.get has no path, and is off"
    );
}

#[test]
fn an_operator_adds_calls_and_lifts_what_is_forbidden() {
    let own = r#"
        lift = { "room.join" = ["/permission"] }
        [[calls]]
        read = { "extra" = "GET /extra/{=config.app_id}" }
    "#;
    let gateway = filled(SECTION, own, &given()).expect("filled");
    assert_eq!((gateway.own_groups, gateway.calls.len()), (2, 3));
    let holds = |call| gateway.calls[0].forbid.iter().map(|rule| rule.holds_for(call)).collect::<Vec<_>>();
    assert_eq!((holds("room.create"), holds("room.join")), (vec![true, false], vec![true, false]));
    let by_form = filled(SECTION, r#"lift = { "room.join" = ["Permission"] }"#, &given()).expect("filled");
    assert!(!by_form.calls[0].forbid[1].holds_for("room.join"));
    for (own, problem) in [
        (
            r#"lift = { "room.jion" = ["/x"] }"#,
            "gateway.lift.room.jion: no call has this name; did you mean room.join?",
        ),
        (r#"lift = { "room.join" = ["/x"] }"#, "gateway.lift.room.join: \"/x\" is not forbidden there; remove it"),
        ("[[calls]]\nreed = {}", "gateway.calls[2].reed: unknown key"),
        ("colour = 1", "gateway.colour: unknown key"),
    ] {
        let told = told(filled(SECTION, own, &given()));
        assert!(told.len() == 1 && told[0].starts_with(problem), "{told:?}");
    }
}

#[test]
fn what_is_missing_or_secret_is_told_with_its_place() {
    let mut without = given().to_vec();
    without.remove(1);
    let missing = "user_header: is missing; its gateway needs user_header = \"…\" (Header of the user)";
    assert_eq!(told(filled(SECTION, "", &without)), [missing]);
    let mut more = given().to_vec();
    more[2].1 = json!({ "user.lsit": "GET /x" });
    assert_eq!(told(filled(SECTION, "", &more)), ["own_paths.user.lsit: is the name of no call of this provider"]);
    for (name, problem) in [
        ("app_key", "\"config.app_key\" is a secret; secrets enter calls by «auth» only"),
        ("region", "is part of a secret that may change"),
        ("regoin", "no setting \"regoin\""),
    ] {
        for text in [format!("/{{{{ config.{name} }}}}"), format!("/{{=config.{name}}}")] {
            let section = SECTION.replace("prefix = \"/\"", &format!("prefix = \"{text}\""));
            let told = told(filled(&section, "", &given()));
            assert!(told.len() == 1 && told[0].contains(problem), "{told:?}");
            assert!(told[0].starts_with("gateway.calls[1].prefix: "), "{told:?}");
        }
    }
}

#[test]
fn every_setting_that_is_named_is_known() {
    let section: GatewaySection = toml::from_str(SECTION).expect("a section");
    let names = section.names(None);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["api_url", "app_id", "app_key", "key_header", "own_paths", "user_header"]);
}
