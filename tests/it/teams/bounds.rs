//! What a team's file may take from the log, and what is under way when it changes.

use super::world::{World, calling, local};
use crate::eventually::eventually;
use crate::harness::SESSION;

/// A further route, by which a changed file shows.
const NEXT: &str = "
[[routes]]
path = \"/next\"
answer = \"session\"
provider = \"own\"
[providers.own]
preset = \"local\"
public_api_url = \"https://bank.example/v1\"
issuer = \"bank\"
audience = \"chat\"
";

/// F-19: a file cannot fill the log, whatever is wrong with it and however often.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_told_in_bounds() {
    let world = World::local().await;
    let section = |n: usize| format!("[section{n}]\n");
    let many: String = (0..1000).map(section).collect();
    let long = format!("{} = \n", "a.".repeat(50_000));
    for broken in [many, long] {
        world.folders.write("bank", &broken);
        eventually("the mistake is seen", async || world.up("bank").await < 0.5).await;
        let blueprint = world.folders.draw(&[]).unwrap_or_else(|errors| panic!("{errors}"));
        let mistakes = blueprint.mistakes_of_teams();
        assert!(!mistakes.is_empty() && mistakes.iter().all(|own| own.to_string().len() < 2000), "{}", mistakes.len());
        world.folders.write("bank", &local("bank"));
        eventually("the mistake is gone", async || world.up("bank").await > 0.5).await;
    }
}

/// F-18: who signs out is out, also where the mint was begun before the file changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_reaches_a_mint_of_the_rooms_before() {
    let (world, fake) = World::sendsar(&[]).await;
    let gate = fake.hold().await;
    let minted = async { world.session("bank", "alice").await };
    let meanwhile = async {
        fake.until(|fake| fake.mints() == 1).await;
        world.folders.write("bank", &(calling(&fake.base_url()) + NEXT));
        let swapped = async || world.ask(("GET", "/next"), super::BANK, "bank", "bob").await.status == 200;
        eventually("the change is served", swapped).await;
        let out = world.ask(("DELETE", SESSION), super::BANK, "bank", "alice").await;
        drop(gate);
        out
    };
    let (minted, out) = tokio::join!(minted, meanwhile);
    assert_eq!(out.status, 204, "{out:?}");
    assert_eq!((minted.status, minted.code().as_str()), (401, "unauthorized"), "handed out to one who left");
}
