//! `examples/login-chain`: people sign in with a real browser at a real login, and the page behind it has their session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::Connection;
use crate::fakes::http::{Script, listen, read_call};
use crate::harness::SESSION;
use crate::parts::chain::Chain;
use crate::parts::chromium::{Chromium, Visitor};

/// The button of the provider's page for this user.
async fn sign_in(visitor: &Visitor<'_>, user: &str) {
    visitor.click(&format!("button:text-is(\"{user}\")")).await;
}

/// The whole token, as the page shows it on demand.
async fn token(visitor: &Visitor<'_>) -> String {
    let short = visitor.read("#token", "…").await;
    visitor.click("#reveal").await;
    let whole = visitor.read("#token", ".").await;
    assert!(short.chars().count() == 13 && whole.starts_with(short.trim_end_matches('…')), "{short}, {whole}");
    visitor.click("#reveal").await;
    assert_eq!(visitor.read("#token", "…").await, short);
    whole
}

/// No token in an address, in what scripts can find later, or in what the browser complains about. Of the application it
/// complains about answers of this status, once or more, and about nothing else; the provider's pages are not ours.
async fn leaves_nothing(chain: &Chain, visitor: &Visitor<'_>, token: &str, status: &str) {
    let report = visitor.report().await;
    assert!(!report.to_string().contains(token.split('.').nth(2).unwrap()), "{report}");
    assert_eq!((&report["stored"], &report["databases"]), (&json!("[{},{},\"\"]"), &json!(0)));
    for cookie in report["cookies"].as_array().unwrap() {
        assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Lax")), "{cookie}");
    }
    let ours = format!("http://{}/", chain.app);
    let complaints: Vec<&str> = report["complaints"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let complaints: Vec<&str> =
        complaints.into_iter().filter(|text| text.starts_with(&ours) || !text.starts_with("http")).collect();
    assert!(!complaints.is_empty(), "none of {status}");
    for complaint in complaints {
        assert!(complaint.contains(SESSION) && complaint.contains(status), "{complaint}");
    }
    for url in report["urls"].as_array().unwrap().iter().filter_map(Value::as_str) {
        // An ID token goes back to the provider that made it, as the standard has it; nothing else looks like a token.
        let to_provider = url.starts_with(&format!("http://{}/oauth2/end_session?id_token_hint=", chain.login));
        assert!(to_provider || !url.contains("eyJ"), "{url}");
    }
}

/// T-01, T-34: to its end, with what browsers claim and what is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_a_browser_and_have_their_session() {
    let (mut chain, browser) = tokio::join!(Chain::start(), Chromium::start());
    let home = format!("http://{}/", chain.app);

    let alice = browser.visitor("alice", &json!({})).await;
    let led = alice.visit(&home).await;
    assert!(led.starts_with(&format!("http://{}/oauth2/authorize?", chain.login)), "{led}");
    sign_in(&alice, "alice").await;
    alice.read("#status", "Your session is ready.").await;
    assert_eq!(alice.read("#chatUserId", "").await, "alice");
    assert_eq!(alice.read("#displayName", "").await, "Alice Müller");
    assert_eq!(alice.read("#apiUrl", "").await, "https://chat.example/v1");
    alice.read("#expiresAt", "Z").await;
    alice.read("#countdown", "in 59 min").await;
    let hers = token(&alice).await;

    // What a browser claims is replaced, before and after signing in.
    let claims = ["X-Forwarded-User", "X-Forwarded-Name", "OIDC-Claim-Sub", "X-Auth-Request-User"];
    let claims: BTreeMap<&str, &str> = claims.map(|name| (name, "mallory")).into();
    let bob = browser.visitor("bob", &json!(claims)).await;
    let led = bob.visit(&home).await;
    assert!(led.starts_with(&format!("http://{}/", chain.login)), "{led}");
    sign_in(&bob, "bob").await;
    bob.read("#status", "Your session is ready.").await;
    assert_eq!(bob.read("#chatUserId", "").await, "bob");
    assert_eq!(bob.read("#displayName", "").await, "Bob Jones");
    let his = token(&bob).await;
    assert_ne!(hers, his);

    // sidemint stops: who has a session keeps it, the page says so and recovers by itself.
    chain.stop_sidemint().await;
    alice.click("#ask").await;
    alice.read("#status", "Chat is not available just now.").await;
    assert_eq!(alice.read("#chatUserId", "").await, "alice");
    chain.start_part("sidemint").await;
    alice.read("#status", "Your session is ready.").await;
    let next = token(&alice).await;
    assert_ne!(hers, next, "a session of the new process");

    // The login's own session runs out.
    bob.forget_cookies().await;
    bob.click("#ask").await;
    bob.read("#note", "You are not signed in any more.").await;
    bob.click("#sign-in").await;
    sign_in(&bob, "bob").await;
    assert_eq!(bob.read("#chatUserId", "bob").await, "bob");

    alice.click("#sign-out").await;
    alice.click("button:text-is(\"End session\")").await;
    alice.read("main", "You are signed out").await;
    let led = alice.visit(&home).await;
    assert!(led.starts_with(&format!("http://{}/", chain.login)), "{led}");
    bob.click("#ask").await;
    assert_eq!(bob.read("#chatUserId", "bob").await, "bob");

    alice.visit(&format!("{home}signed-out.html")).await;
    leaves_nothing(&chain, &alice, &next, "503").await;
    leaves_nothing(&chain, &bob, &his, "401").await;
    aliases_are_refused(&chain).await;
}

/// Apache passes names that it is not told one by one, and sidemint refuses them.
async fn aliases_are_refused(chain: &Chain) {
    let (host, cookie) = (chain.app.to_string(), cookie(chain).await);
    for alias in
        ["X_Forwarded_User", "X-Forwarded_User", "X.Forwarded.User", "X_Forwarded_Name", "X.Forwarded.Name", ""]
    {
        let forged = (!alias.is_empty()).then_some((alias, "mallory"));
        let headers: Vec<(&str, &str)> =
            [("Host", host.as_str()), ("Cookie", &cookie)].into_iter().chain(forged).collect();
        let answer = Connection::open(chain.app).await.ask("POST", SESSION, &headers).await;
        assert_eq!(answer.status, if alias.is_empty() { 200 } else { 401 }, "{alias}: {answer:?}");
    }
}

/// Signs alice in without a browser; gives the cookie of her session.
async fn cookie(chain: &Chain) -> String {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let header = |reply: &reqwest::Response, name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    let pair = |line: String| line.split(';').next().unwrap().to_owned();
    let sent = client.get(format!("http://{}/", chain.app)).send().await.unwrap();
    let (login, state) = (header(&sent, "location"), pair(header(&sent, "set-cookie")));
    let form = client.post(login).header("Content-Type", "application/x-www-form-urlencoded").body("sub=alice");
    let back = header(&form.send().await.unwrap(), "location");
    let reply = client.get(back).header("Cookie", state).send().await.unwrap();
    let session = reply.headers().get_all("set-cookie").iter().next_back().unwrap();
    pair(session.to_str().unwrap().to_owned())
}

/// T-01, T-03, T-07: what reaches sidemint is what the login says, whatever a client sends; and nothing of the login's own.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_name_leaves_the_login() {
    let mut chain = Chain::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind(chain.chat).await.unwrap();
    let kept = Arc::clone(&calls);
    tokio::spawn(listen(listener, move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let mut buffer = Vec::new();
            while let Some(call) = read_call(&mut stream, &mut buffer).await? {
                kept.lock().unwrap().push(call);
                Script::json(200, &json!({})).play(&mut stream).await?;
            }
            Ok(())
        }
    }));
    chain.start_part("provider").await;
    chain.start_part("apache").await;
    let host = chain.app.to_string();
    let visitor = Connection::open(chain.app)
        .await
        .ask("POST", SESSION, &[("Host", &host), ("X-Forwarded-User", "mallory")])
        .await;
    assert_eq!((visitor.status, calls.lock().unwrap().len()), (401, 0), "no provider is asked for a visitor");

    let cookie = cookie(&chain).await;
    let forged = [
        "X-Forwarded-User",
        "X-Forwarded-Name",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "OIDC_CLAIM_sub",
        "OIDC_CLAIM_name",
        "OIDC-CLAIM-name",
        "OIDC_access_token",
        "Authorization",
    ];
    for connection in ["close", "close, X-Forwarded-User", "close, X-Forwarded-Name, Cookie"] {
        let mut headers: Vec<(&str, &str)> = forged.iter().map(|name| (*name, "mallory")).collect();
        headers.extend([("Cookie", cookie.as_str()), ("Connection", connection), ("Host", &host)]);
        let answer = Connection::open(chain.app).await.ask("POST", SESSION, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let call = calls.lock().unwrap().pop().expect("a call");
        assert_eq!((call.header("x-forwarded-user"), call.header("x-forwarded-name")), ("alice", "Alice Müller"));
        let known =
            ["x-forwarded-user", "x-forwarded-name", "x-forwarded-for", "x-forwarded-host", "x-forwarded-server"];
        let known = [&known[..], &["host", "connection", "content-length"]].concat();
        let rest: Vec<&String> = call.headers.keys().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(rest.is_empty(), "{connection}: {rest:?}");
    }
}
