//! The page of each provider: its configuration as printed hands out the session that the page shows.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::Value;
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};
use sidemint::provider::{Definition, PRESETS};

use super::{agrees, shell};
use crate::docs::{Block, Page, blocks, pages, with_secrets};
use crate::fakes::sendsar::API_KEY;
use crate::harness::{Service, clock};
use crate::presets::stand_in;

/// Pages about providers in general, and about those that hand out no tokens.
const GENERAL: [&str; 4] = ["README", "definition", "standard-webhooks", "write-a-definition"];

/// The presets that a configuration names.
fn presets_of(configuration: &str) -> BTreeSet<String> {
    let lines = configuration.lines().filter_map(|line| line.strip_prefix("preset = \""));
    lines.map(|rest| rest.trim_end_matches('"').to_owned()).collect()
}

/// Commands of a page with the answers that it shows below them.
fn exchanges(page: &Page) -> Vec<(String, Value)> {
    let is_answered = |pair: &&[Block]| pair[0].language == "sh" && matches!(&*pair[1].language, "json" | "text");
    let blocks = blocks(page);
    let pairs = blocks.windows(2).filter(is_answered);
    let shown = |block: &Block| match &*block.language {
        "text" => Value::from(block.text.trim_end()),
        _ => serde_json::from_str(&block.text).expect(&page.path),
    };
    pairs.map(|pair| (pair[0].text.clone(), shown(&pair[1]))).collect()
}

/// What is not as it should be on this page; the presets that it showed.
async fn follow(page: &Page, problems: &mut Vec<String>) -> BTreeSet<String> {
    let configuration = blocks(page).into_iter().find(|block| block.language == "toml").expect(&page.path);
    let presets = presets_of(&configuration.text);
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let mut stand_ins = Vec::new();
    for preset in &presets {
        stand_ins.extend(stand_in(preset).await);
    }
    let provider = stand_ins.pop();
    assert!(stand_ins.is_empty(), "{}: one provider is called at most", page.path);
    let secret = provider.as_ref().map_or(API_KEY, |provider| provider.secret);
    let file = folder.path().join("config.toml");
    fs::write(&file, with_secrets(&configuration.text, folder.path(), secret)).unwrap();
    let sources = Sources { files: vec![file], ..Sources::default() };

    let environment = Environment::default();
    let printed = Config::load(&sources, &environment).expect(&page.path);
    assert_eq!(printed.server.listen.to_string(), "127.0.0.1:8080", "{}", page.path);
    let mut overrides = vec![("server.listen", "127.0.0.1:0"), ("ops.listen", "127.0.0.1:0")];
    overrides.extend(provider.iter().map(|provider| ("providers.chat.api_url", provider.api_url.as_str())));
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let sources = Sources { overrides: overrides.into_iter().map(own).collect(), ..sources };
    let config = Config::load(&sources, &environment).expect(&page.path);
    let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock)).expect(&page.path);
    let service = Service::of(blueprint, clock, folder).await;

    let exchanges = exchanges(page);
    assert_eq!(exchanges.len(), presets.len(), "{}: a command and its answer for each preset", page.path);
    for (command, shown) in exchanges {
        let mut answer = shell(&command, service.address()).await;
        if let Some(provider) = &provider {
            answer = answer.replace(&provider.api_url, provider.real);
        }
        let own = if shown.is_string() { Ok(Value::from(answer.as_str())) } else { serde_json::from_str(&answer) };
        let own = own.unwrap_or_else(|error| panic!("{}: {error}: {answer}", page.path));
        if !agrees(&shown, &own) {
            problems.push(format!("{} shows\n{shown:#}\nand {command} answers\n{own:#}", page.path));
        }
    }
    presets
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_ends_in_the_session_that_it_shows() {
    let name = |page: &Page| page.path.strip_prefix("docs/providers/")?.strip_suffix(".md").map(str::to_owned);
    let (mut shown, mut problems) = (BTreeSet::new(), Vec::new());
    for page in pages() {
        if name(&page).is_some_and(|name| !GENERAL.contains(&name.as_str())) {
            shown.extend(follow(&page, &mut problems).await);
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    let mints = |text: &str| Definition::parse(text).unwrap().token.is_some();
    let all = PRESETS.iter().filter(|(_, text)| mints(text)).map(|(name, _)| (*name).to_owned());
    assert_eq!(shown, all.collect(), "every preset that mints has a page");
}
