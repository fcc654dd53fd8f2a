//! The session route: what a client forges never becomes a user.

use super::Scene;
use crate::harness::SESSION;
use crate::parts::proxies::{self, Proxy, Recipe};

/// Who `answer` says the user is; `None` for a refusal of any kind.
async fn user(proxy: &Proxy, headers: &[(&str, &str)]) -> Option<(String, String)> {
    let answer = proxy.ask(SESSION, headers).await?;
    if answer.status != 200 {
        assert!((300..=499).contains(&answer.status), "{headers:?}: {answer:?}");
        return None;
    }
    let session = answer.json();
    let text = |member: &str| session[member].as_str().unwrap_or_default().to_owned();
    Some((text("chatUserId"), text("displayName")))
}

/// T-01, T-03, T-04, T-06, T-07, T-08 and T-10 of one proxy: with and without a login, nothing that a client sends makes
/// it another user.
async fn holds(recipe: &Recipe) {
    let Scene { proxy, .. } = &Scene::local(recipe, &[]).await;
    let alice = user(proxy, &[recipe.users.alice]).await.expect("alice is signed in");
    assert_eq!(alice.0, "alice", "{}", recipe.name);
    assert_eq!(user(proxy, &[]).await, None, "{}: a visitor", recipe.name);
    let name = recipe.user_header();
    let [underscore, dot, mixed, upper] =
        [name.replace('-', "_"), name.replace('-', "."), name.replacen('-', "_", 1), name.to_uppercase()];
    let long = format!("mallory{}", "y".repeat(9000));
    let lists = ["close, X", "X", "keep-alive, x"].map(|text| text.replace(['X', 'x'], name));
    let mut attacks: Vec<Vec<(&str, &str)>> = Vec::new();
    for header in [name, &underscore, &dot, &mixed, &upper] {
        attacks.push(vec![(header, "mallory")]);
        attacks.push(vec![(header, "mallory"), (header, "mallory")]);
        attacks.push(vec![(header, "alice, mallory")]);
    }
    attacks.extend([
        vec![(name, "")],
        vec![(name, &long)],
        vec![(&dot, &long)],
        vec![("X-Forwarded-For", "127.0.0.1")],
    ]);
    for list in &lists {
        attacks.push(vec![("Connection", list)]);
        attacks.push(vec![("Connection", list), (name, "mallory"), (&underscore, "mallory")]);
    }
    for attack in attacks {
        let seen = user(proxy, &attack).await;
        assert_eq!(seen, None, "{}: a visitor with {attack:?}", recipe.name);
        let seen = user(proxy, &[&attack[..], &[recipe.users.alice]].concat()).await;
        assert!(seen.is_none() || seen.as_ref() == Some(&alice), "{}: {attack:?}: {seen:?}", recipe.name);
    }
}

macro_rules! each_proxy {
    ($($test:ident: $recipe:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            holds(&proxies::$recipe).await;
        }
    )*};
}

each_proxy! {
    nothing_forged_passes_nginx: NGINX,
    nothing_forged_passes_caddy: CADDY,
    nothing_forged_passes_haproxy: HAPROXY,
    nothing_forged_passes_traefik: TRAEFIK,
    nothing_forged_passes_envoy: ENVOY,
    nothing_forged_passes_apache: APACHE,
}
