//! Restarts that no user notices: two instances behind one upstream, one stopped while the other serves.

use crate::harness::LOCAL;
use crate::parts::proxies::{NGINX as RECIPE, PAIR};
use crate::parts::sidemint::Program;

use super::{DELAY, NGINX, Stage, State};

/// Each of two instances is stopped and started again under load; every request is answered as ever.
#[tokio::test(flavor = "multi_thread")]
async fn instances_are_replaced_one_by_one_behind_nginx() {
    let mut second = Program::start(LOCAL, &[DELAY], &[]).await;
    assert!(RECIPE.page.contains(PAIR.1), "the page shows two");
    assert!(RECIPE.page.contains(&format!("\ndrain_delay = {}\n", DELAY.1)), "and how they are stopped");
    let (one, two) = PAIR;
    let both = two.replace("127.0.0.1:8081", &second.front.to_string());
    let mut stage = Stage::set(&NGINX, &[(one, &both)]).await;
    stage.all_users_are_served(2).await;
    for _ in 0..2 {
        stage.program.is_asked().await;
        second.is_asked().await;
        std::mem::swap(&mut stage.program, &mut second);
        stage.enter(State::Well);
        stage.program.signal("TERM");
        let (status, log) = stage.program.ended().await;
        assert!(status.success() && !log.contains("cut"), "{log}");
        stage.all_users_are_served(2).await;
        stage.program.start_again().await;
    }
    stage.enter(State::Well);
    stage.all_users_are_served(2).await;
    stage.judge();
}
