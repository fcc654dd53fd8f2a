//! Every operation of every preset: its example goes through the gate where it is granted, and nowhere else; and what is told
//! of it shows no secret.

use std::collections::BTreeSet;
use std::fs;

use bytes::Bytes;
use sidemint::app::Blueprint;
use sidemint::config::{Config, Environment, Sources};
use sidemint::gateway::explain::{Question, Told};
use sidemint::provider::PRESETS;
use toml::{Table, Value};

use crate::docs::{blocks, pages, with_secrets};
use crate::harness::clock;

/// What provider secrets are in these tests, beside those whose form is fixed.
const SECRET: &str = "sk_amb_sk_canary0123456789abcdef0123456789";

/// The example of one operation.
struct Example<'t> {
    name: &'t str,
    call: &'t str,
    body: Option<&'t str>,
    content_type: &'t str,
    as_user: Option<&'t str>,
}

fn examples(preset: &Table) -> Vec<Example<'_>> {
    fn text<'t>(example: &'t Value, key: &str) -> Option<&'t str> {
        example.get(key).and_then(Value::as_str)
    }
    let examples = preset.iter().map(|(name, own)| Example {
        name,
        call: text(own, "call").expect(name),
        body: text(own, "body"),
        content_type: text(own, "type").unwrap_or("application/json"),
        as_user: text(own, "as"),
    });
    examples.collect()
}

/// Names of the operations of a preset that have a path, with that of the page where the preset has none.
fn operations(preset: &str, page: &Table) -> BTreeSet<String> {
    let (_, text) = PRESETS.iter().find(|(name, _)| *name == preset).expect(preset);
    let definition: Table = text.parse().expect(preset);
    let given = page["providers"].as_table().and_then(|all| all.values().next()?.get("gateway_calls"));
    let mut names: BTreeSet<String> =
        given.and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned().collect();
    for group in definition["gateway"]["calls"].as_array().expect(preset) {
        for class in ["read", "write", "destroy", "secret"] {
            names.extend(group.get(class).and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned());
        }
    }
    names
}

/// A gateway with the configuration that the preset's page prints, and its callers: `all` may use each operation, `first` the
/// first one, and `second` the second.
struct Stage {
    blueprint: Blueprint,
    folder: tempfile::TempDir,
    mount: String,
}

impl Stage {
    fn new(preset: &str, page: &mut Table, names: &BTreeSet<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = page["gateway"].as_table_mut().expect(preset);
        let mount = gateway["mounts"][0]["provider"].as_str().expect("a mount").to_owned();
        let mut callers = Table::new();
        let mut names = names.iter().map(|name| Value::from(name.as_str()));
        let all: Vec<Value> = names.by_ref().collect();
        for (caller, allow) in [("all", all.clone()), ("first", vec![all[0].clone()]), ("second", vec![all[1].clone()])]
        {
            let text = format!(
                "key_files = [\"/run/secrets/{caller}-gateway\"]\nas_user = \"any\"\ngrants = [{{ provider = \"{mount}\" }}]"
            );
            let mut table: Table = text.parse().unwrap();
            table["grants"][0].as_table_mut().unwrap().insert("allow".to_owned(), Value::Array(allow));
            callers.insert(caller.to_owned(), table.into());
        }
        gateway.insert("callers".to_owned(), callers.into());
        let text = with_secrets(&toml::to_string(page).unwrap(), folder.path(), SECRET);
        for caller in ["all", "first", "second"] {
            // Random to the eye, and another one for each.
            let key = format!("{caller}-MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY");
            fs::write(folder.path().join(format!("{caller}-gateway")), key).unwrap();
        }
        let file = folder.path().join("gateway.toml");
        fs::write(&file, text).unwrap();
        let environment = Environment::default();
        let config = Config::load(&Sources { files: vec![file], ..Sources::default() }, &environment).expect(preset);
        let blueprint = Blueprint::draw(config, &environment, clock()).expect(preset);
        Self { blueprint, folder, mount }
    }

    async fn tell(&self, caller: &str, example: &Example<'_>) -> Told {
        let gateway = self.blueprint.gateway().expect("a gateway");
        let caller = gateway.callers().iter().find(|own| own.name() == caller).expect("a caller");
        let mount = gateway.mount(&self.mount).expect("a mount");
        let body = example.body.map(|body| Bytes::copy_from_slice(body.as_bytes()));
        let question = Question::new(example.call, body, example.content_type, example.as_user).expect(example.call);
        gateway.explain(caller, mount, &question).await
    }

    /// What no line may show: every secret, and the keys of callers.
    fn secrets(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_none_or(|end| end != "toml"));
        files.map(|path| fs::read_to_string(path).unwrap().trim().to_owned()).collect()
    }
}

#[tokio::test]
async fn every_operation_goes_through_where_it_is_granted_and_nowhere_else() {
    let table: Table = include_str!("examples.toml").parse().expect("TOML");
    let with_calls = PRESETS.iter().filter(|(_, text)| text.contains("\n[gateway]\n")).map(|(name, _)| *name);
    assert_eq!(table.keys().map(String::as_str).collect::<BTreeSet<_>>(), with_calls.collect(), "presets with calls");
    let mut problems = Vec::new();
    for (preset, own) in &table {
        let path = format!("docs/gateway/{preset}.md");
        let page = pages().into_iter().find(|page| page.path == path).expect(&path);
        let printed = blocks(&page).into_iter().find(|block| block.language == "toml,fragment").expect(&path);
        let mut page: Table = printed.text.parse().expect(&path);
        let examples = examples(own.as_table().expect(preset));
        let names = operations(preset, &page);
        let given: BTreeSet<String> = examples.iter().map(|example| example.name.to_owned()).collect();
        assert_eq!(given, names, "{preset}: an example of each operation");
        let stage = Stage::new(preset, &mut page, &names);
        let secrets = stage.secrets();
        let first = names.first().expect("an operation");
        for example in &examples {
            let told = stage.tell("all", example).await;
            let text = told.to_string();
            let is_made = told.refusal().is_none() && text.contains(&format!("operation   {},", example.name));
            if !is_made || secrets.iter().any(|secret| text.contains(secret.as_str())) {
                problems.push(format!("{preset}: {} {}\n{text}", example.name, example.call));
            }
            let other = if example.name == first { "second" } else { "first" };
            let refusal = stage.tell(other, example).await.refusal().map(|refusal| refusal.to_string());
            if refusal.as_deref() != Some("operation_denied") {
                problems.push(format!("{preset}: {} without the grant: {refusal:?}", example.name));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
