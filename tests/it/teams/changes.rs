//! Fragments that break, are repaired and change while the service runs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::world::{Folders, World, local};
use crate::cli;
use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::harness::SESSION;

fn issuer(answer: &Answer) -> String {
    super::part(answer, 1)["iss"].as_str().unwrap().to_owned()
}

/// F-16: a fragment with a mistake stops its own team alone, and its hosts stay taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_fragment_stops_its_own_team_alone() {
    let world = World::start(&local("shop"), "[[routes]]\npath = 7\n", &[]).await;
    assert_eq!(world.service.ops("/readyz").await.status, 200);
    for path in [SESSION, "/guard", "/auth", "/.well-known/jwks.json", "/"] {
        for host in [super::BANK, "bank.example"] {
            let answer = world.ask(("GET", path), host, "bank", "alice").await;
            assert_eq!((answer.status, answer.code().as_str()), (503, "team_unavailable"), "{host}{path}");
            assert_eq!(answer.header("retry-after"), Some("5"));
        }
    }
    assert_eq!(world.session("shop", "alice").await.status, 200);
    assert_eq!(world.service.session("alice").await.status, 200);
    assert!((world.up("shop").await - 1.0).abs() < 0.1);
    assert!(world.up("bank").await.abs() < 0.1);
    let page = async || {
        let mut connection = Connection::open(world.service.ops).await;
        connection.ask("GET", "/status.json", &[("Host", "localhost")]).await.json()
    };
    let told = page().await;
    assert!(told["summary"].as_str().unwrap().contains("One team has a mistake in its file."), "{told}");
    let [bank, shop] = [&told["teams"][0], &told["teams"][1]];
    assert_eq!((&bank["team"], &bank["up"], &bank["routes"]), (&json!("bank"), &json!(false), &json!(0)));
    assert!(bank["mistake"].as_str().unwrap().contains("bank.toml: routes[0].path"), "{bank}");
    assert_eq!((&shop["up"], &shop["routes"], &shop["mistake"]), (&json!(true), &json!(2), &json!(null)));
    world.folders.write("bank", &local("bank"));
    eventually("the team is served", async || world.session("bank", "alice").await.status == 200).await;
    assert_eq!((&page().await["teams"][0]["up"], &page().await["teams"][0]["mistake"]), (&json!(true), &json!(null)));
    eventually("its gauge says so", async || world.up("bank").await > 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_fragment_stays() {
    let world = World::local().await;
    let before = world.session("bank", "alice").await.json();
    for broken in ["[[routes]]\npath = 7\n", "", &"#".repeat(2 << 20), &format!("{}\n[server]\n", local("bank"))] {
        world.folders.write("bank", broken);
        eventually("the mistake is seen", async || world.up("bank").await < 0.5).await;
        assert_eq!(world.session("bank", "alice").await.json(), before, "the session is there as well");
        world.folders.write("bank", &local("bank"));
        eventually("the mistake is gone", async || world.up("bank").await > 0.5).await;
    }
    world.folders.remove("bank");
    eventually("the file is missed", async || world.up("bank").await < 0.5).await;
    assert_eq!(world.session("bank", "alice").await.json(), before);
}

/// F-18: a team changes twenty times under the load of another: not one request of that fails, nor loses its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_team_is_not_noticed_by_another() {
    let world = World::local().await;
    let before = world.session("shop", "alice").await.json();
    let done = AtomicBool::new(false);
    let load = async {
        let mut asked = 0;
        while !done.load(Ordering::Relaxed) {
            let answer = world.session("shop", "alice").await;
            assert_eq!((answer.status, answer.json() == before), (200, true));
            asked += 1;
        }
        asked
    };
    let changes = async {
        for n in 0..20 {
            let name = format!("bank{n}");
            world.folders.write("bank", &local(&name));
            let changed = async || issuer(&world.session("bank", "alice").await) == name;
            eventually("the change is served", changed).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (asked, ()) = tokio::join!(load, changes);
    assert!(asked > 20, "{asked}");
}

/// A session of a fragment that is gone is not handed out by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_fragment_begins_with_no_sessions() {
    let (world, fake) = World::sendsar(&[]).await;
    world.session("bank", "alice").await;
    world.session("bank", "alice").await;
    assert_eq!(fake.mints(), 1);
    let text = format!("# changed\n{}", super::world::calling(&fake.base_url()));
    world.folders.write("bank", &text);
    eventually("minted anew", async || {
        world.session("bank", "alice").await;
        fake.mints() == 2
    })
    .await;
}

#[test]
fn a_team_without_a_file_is_a_mistake_of_the_team() {
    let folders = Folders::new();
    folders.write("shop", &local("shop"));
    let mistake = || {
        let blueprint = folders.draw(&[]).expect("the platform has no mistake");
        let mistakes: Vec<String> = blueprint.mistakes_of_teams().iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes[0].clone()
    };
    assert!(mistake().contains("bank.toml"));
    folders.write("bank", "");
    assert!(mistake().contains("bank.toml: routes: is missing"), "one that is cut off is as bad: {}", mistake());
}

/// A pull request is told before, and so is a start that asks for it.
#[test]
fn a_mistake_of_a_team_ends_check_and_a_strict_start() {
    let (folders, own) = (Folders::new(), tempfile::tempdir().unwrap());
    folders.write("shop", &local("shop"));
    folders.write("bank", &local("bank").replace("preset = \"local\"", "preset = \"locl\""));
    let platform = cli::file(own.path(), "platform.toml", &folders.platform(&[]));
    for command in [&["check"][..], &["serve", "--strict-teams"]] {
        let told = cli::bad(2, &[command, &["--config", &platform]].concat(), &[]);
        assert!(told.contains("bank.toml: providers.chat.preset"), "{command:?}: {told}");
    }
    folders.write("bank", &local("bank"));
    let _serves = cli::Process::serve(&["serve", "--strict-teams", "--config", &platform], &[]);
}
