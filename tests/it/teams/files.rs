//! What a fragment may not do, and what a grant may not say.

use std::os::unix::fs::symlink;

use super::world::{Folders, World, local};
use crate::eventually::eventually;

/// F-15: the files of a team are below its own folder, whatever its fragment and the links in that folder say.
#[test]
fn a_fragment_reads_the_files_of_its_own_team_alone() {
    let folders = Folders::new();
    folders.write("bank", &local("bank"));
    assert_eq!(folders.mistakes(&local("shop")), "", "the team's own file");
    let other = folders.secret("bank", "caller");
    symlink(&other, folders.secret("shop", "out")).unwrap();
    symlink(other.parent().unwrap(), folders.secret("shop", "there")).unwrap();
    symlink("caller", folders.secret("shop", "within")).unwrap();
    let absolute = other.display().to_string();
    let roundabout = folders.secret("shop", "../bank/caller").display().to_string();
    for (file, is_own) in [
        (folders.secret("shop", "caller").to_str().unwrap(), true),
        ("within", true),
        ("./caller", false),
        ("../bank/caller", false),
        ("x/../../bank/caller", false),
        (&absolute, false),
        (&roundabout, false),
        ("/etc/hostname", false),
        ("/proc/self/environ", false),
        ("out", false),
        ("there/caller", false),
        ("", false),
    ] {
        let mistakes = folders.mistakes(&local("shop").replace("[\"caller\"]", &format!("[\"{file}\"]")));
        assert_eq!(mistakes.is_empty(), is_own, "{file}: {mistakes}");
        assert!(!mistakes.contains("CANARY"), "{mistakes}");
        if !is_own {
            assert!(mistakes.contains("identity.callers.web.secret_files"), "{file}: {mistakes}");
        }
    }
}

/// F-15: a link that is turned round while the service runs leads nowhere either.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_out_later_is_not_followed() {
    let world = World::local().await;
    let own = world.folders.secret("shop", "caller");
    std::fs::remove_file(&own).unwrap();
    symlink(world.folders.secret("bank", "caller"), &own).unwrap();
    world.service.nudge.now();
    eventually("the file is refused", async || {
        world.service.metric("sidemint_peer_secrets_rejected_total{team=\"shop\"}").await > 0.5
    })
    .await;
    assert_eq!(world.ask(("GET", crate::harness::SESSION), super::SHOP, "bank", "alice").await.status, 403);
    assert_eq!(world.session("shop", "alice").await.status, 200, "the last good one stays");
}

/// F-15: nothing of the process reaches a fragment: no variable is read for it.
#[test]
fn a_fragment_reads_no_variable() {
    let folders = Folders::new();
    folders.write("bank", &local("bank"));
    let text = super::world::calling("http://127.0.0.1:9").replace("api_key_file = \"api_key\"", "");
    folders.write("shop", &text);
    let environment = crate::harness::sendsar_key();
    let blueprint = crate::harness::draw(&folders.platform(&[]), &environment, crate::harness::clock()).expect("drawn");
    let mistakes: Vec<String> = blueprint.mistakes_of_teams().iter().map(ToString::to_string).collect();
    assert!(mistakes.len() == 1 && mistakes[0].contains("providers.chat"), "{mistakes:?}");
}

/// F-16: a fragment says what is its own to say.
#[test]
fn a_fragment_takes_nothing_that_is_not_granted() {
    let folders = Folders::new();
    folders.write("bank", &local("bank"));
    for (from, to, problem) in [
        (
            "[[routes]]",
            "[[routes]]\nhost = \"chat.bank.example\"",
            "routes[0].host: \"chat.bank.example\" is not granted",
        ),
        (
            "[[routes]]",
            "[[routes]]\nhost = \"elsewhere.example\"",
            "is not granted to this team; its hosts are chat.shop.example",
        ),
        ("[limits]", "[identity.peers]\nnetworks = [\"127.0.0.0/8\"]\n[limits]", "identity.peers: is the platform's"),
        ("[limits]", "[server]\n[limits]", "server: is no section of a team's file"),
        ("[limits]", "[ops]\nlisten = \"127.0.0.1:0\"\n[limits]", "ops: is no section"),
        ("[limits]", "[teams.bank]\nhosts = []\n[limits]", "teams: is no section"),
        ("[limits]", "[outbound]\n[limits]", "outbound: is no section"),
        ("[limits]", "[route]\n[limits]", "did you mean routes"),
    ] {
        let mistakes = folders.mistakes(&local("shop").replacen(from, to, 1));
        assert!(mistakes.contains(problem) && mistakes.contains("shop.toml"), "{to}: {mistakes}");
    }
    let own = local("shop").replacen("[[routes]]", "[[routes]]\nhost = \"chat.shop.example\"", 1);
    assert_eq!(folders.mistakes(&own), "");
}

/// F-16: a host has one owner, and a mistake of the platform ends the start.
#[test]
fn grants_do_not_overlap() {
    let folders = Folders::new();
    let quoted = |file: &str| format!("\"{}\"", folders.secret("shop", file).display());
    let (shop, below, above) = (quoted(""), quoted("bank"), quoted("..").replace("/shop/..", ""));
    let route = "[{ path = \"/x\", answer = \"session\", provider = \"chat\", host = \"chat.shop.example\" }]";
    for (key, value, problem) in [
        ("teams.bank.hosts", "[\"Chat.Shop.example\"]", "\"chat.shop.example\" belongs to"),
        ("teams.bank.hosts", "[\"a.example\", \"a.example\"]", "belongs to the team \"bank\" already"),
        ("routes", route, "belongs to the route \"/x\" already"),
        ("teams.bank.hosts", "[]", "teams.bank.hosts: is missing"),
        ("teams.bank.hosts", "[\"https://chat.bank.example\"]", "is not a host"),
        ("teams.bank.hosts", "[\"chat.bank.example:443\"]", "is not a host"),
        ("teams.bank.secrets", "\"secrets/bank\"", "is not an absolute path"),
        ("teams.bank.secrets", "\"/a/../b\"", "is not an absolute path"),
        ("teams.bank.secrets", &shop, "is in the folder of the team"),
        ("teams.bank.secrets", &below, "teams.bank.secrets: is in the folder of the team \"shop\""),
        ("teams.bank.secrets", &above, "teams.shop.secrets: is in the folder of the team \"bank\""),
        ("teams.bank.requests", "\"lots\"", "teams.bank.requests: is \"lots\"; write calls and a time"),
        ("teams.bank.in_flight", "0", "teams.bank.in_flight"),
        ("teams.bank.colour", "\"red\"", "colour"),
        ("teams_dir", "\"\"", "teams_dir: is missing"),
        ("grpc.listen", "\"127.0.0.1:0\"", "cannot stand beside [grpc]"),
    ] {
        let errors = folders.draw(&[(key, value)]).expect_err(key).to_string();
        assert!(errors.contains(problem), "{key} = {value}: {errors}");
    }
}

/// F-19: a fragment is bounded before anything of it is compiled.
#[test]
fn a_fragment_is_bounded() {
    let folders = Folders::new();
    folders.write("bank", &local("bank"));
    let padded = |bytes: usize| {
        let text = local("shop");
        format!("{text}{}", "#".repeat(bytes - text.len()))
    };
    assert_eq!(folders.mistakes(&padded(1 << 20)), "");
    assert!(folders.mistakes(&padded((1 << 20) + 1)).contains("shop.toml"));
    let route = |n: usize| format!("[[routes]]\npath = \"/r{n}\"\nanswer = \"session\"\nprovider = \"chat\"\n");
    let many: String = (0..31).map(route).collect();
    let mistakes = folders.mistakes(&format!("{many}{}", local("shop")));
    assert!(mistakes.contains("routes: holds 33, and the grant allows 32 (max_routes)"), "{mistakes}");
    let provider = |n: usize| format!("[providers.p{n}]\npreset = \"nothing\"\n");
    let many: String = (0..8).map(provider).collect();
    let mistakes = folders.mistakes(&format!("{}{many}", local("shop")));
    assert!(mistakes.contains("providers: holds 9, and the grant allows 8 (max_providers)"), "{mistakes}");
    assert!(!mistakes.contains("nothing"), "none of them is compiled: {mistakes}");
    let source = |n: usize| format!("[identity.sources.s{n}]\nkind = \"nothing\"\n");
    let many: String = (0..65).map(source).collect();
    let mistakes = folders.mistakes(&format!("{}{many}", local("shop")));
    assert!(mistakes.contains("identity.sources: holds 65, and a team has 64 at most"), "{mistakes}");
}
