//! The page of teams: the platform's file beside the teams' files, as printed, up to a session of each team, and through a
//! mistake in one of them. Replaced are folders, ports, and the address of the provider.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};

use super::{block, shell};
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{Service, clock};

const PAGE: &str = "docs/teams.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_files_as_printed_serve_both_teams() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let at = |name: &str| folder.path().join(name);
    for name in ["teams", "secrets"] {
        fs::create_dir(at(name)).unwrap();
    }
    let commands = block(PAGE, "sh", "curl");
    let secret = commands.split("Peer-Secret: ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a secret");
    fs::write(at("secrets/proxy-secret"), secret).unwrap();
    fs::write(at("secrets/sendsar-key"), API_KEY).unwrap();
    let shop = block(PAGE, "toml,shop", "routes") + &format!("api_url = \"{}\"\n", fake.base_url());
    fs::write(at("teams/shop.toml"), &shop).unwrap();
    let news = block(PAGE, "toml,news", "routes");
    fs::write(at("teams/news.toml"), news.replace("preset = \"local\"", "preset = \"locl\"")).unwrap();
    let platform = block(PAGE, "toml,platform", "teams_dir")
        .replace("/etc/sidemint/teams", &at("teams").display().to_string())
        .replace("/run/secrets/teams/shop", &at("secrets").display().to_string())
        .replace("api.sendsar.com", "127.0.0.1")
        .replace("127.0.0.1:8080", "127.0.0.1:0");
    fs::write(at("platform.toml"), platform).unwrap();
    let sources = Sources {
        files: vec![at("platform.toml")],
        overrides: vec![("ops.listen".to_owned(), "127.0.0.1:0".to_owned())],
        ..Sources::default()
    };
    let environment = Environment::default();
    let config = Config::load(&sources, &environment).unwrap_or_else(|errors| panic!("{errors}"));
    let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock));
    let blueprint = blueprint.unwrap_or_else(|errors| panic!("{errors}"));
    let mistakes: Vec<String> = blueprint.mistakes_of_teams().iter().map(ToString::to_string).collect();
    assert!(mistakes.len() == 1 && mistakes[0].contains("news.toml: providers.chat.preset"), "{mistakes:?}");

    let service = Service::of(blueprint, clock, folder).await;
    let asked = commands.lines().map(str::to_owned).collect::<Vec<_>>();
    let ask = async |line: &str| -> Value { serde_json::from_str(&shell(line, service.address()).await).unwrap() };
    assert_eq!(ask(&asked[0]).await["chatUserId"], "alice");
    assert_eq!(ask(&asked[1]).await["code"], "team_unavailable");
    assert_eq!(service.ops("/readyz").await.status, 200, "the others are served");
    assert!(service.ops("/metrics").await.text().contains("sidemint_team_up{team=\"news\"} 0"));

    fs::write(service.file("teams/news.toml"), news).unwrap();
    service.nudge.now();
    service.metric_reaches("sidemint_team_up{team=\"news\"}", 1.0).await;
    assert_eq!(ask(&asked[1]).await["apiUrl"], "https://chat.news.example/v1");
    assert_eq!(ask(&asked[0]).await["chatUserId"], "alice");
}
