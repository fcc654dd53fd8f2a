//! Two users never become one at a provider: not by the prefixes of two providers of one account, and not by their case.

use sidemint::config::Environment;

use crate::harness::{SESSION, Service, clock, config, draw};

const LOCAL: &str = "preset = \"local\"\nissuer = \"sidemint\"\naudience = \"chat\"";
const URL: &str = "public_api_url = \"https://chat.example\"";
const PUSHER: &str = "app_id = \"1\"\napp_key = \"app-key\"\ncluster = \"eu\"\napp_secret_file = \"SECRET\"";

/// What two providers, with these tables, are refused for; nothing where they are not.
fn mistakes(first: &str, second: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, same) = ("0123456789abcdef0123456789abcdef", secret("same", "0123456789abcdef0123456789abcdef"));
    let (one, other) = (secret("one", one), secret("other", "fedcba9876543210fedcba9876543210"));
    let routes = "[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n[[routes]]\npath = \"/b\"\nanswer = \"session\"\nprovider = \"market\"\n";
    let text = format!("{routes}[providers.chat]\n{first}\n[providers.market]\n{second}\n");
    let text = text.replace("SECRET", &one).replace("SAME", &same).replace("OTHER", &other);
    let drawn = draw(&config(&text, &[]), &Environment::default(), clock());
    drawn.err().map(|errors| errors.to_string()).unwrap_or_default()
}

/// T-67
#[test]
fn prefixes_of_one_account_must_not_begin_each_other() {
    let local = |more: &str| format!("{LOCAL}\n{URL}\n{more}");
    let prefix = |text: &str| local(&format!("user_prefix = \"{text}\""));
    let pusher = |preset: &str, prefix: &str| format!("preset = \"{preset}\"\n{PUSHER}\nuser_prefix = \"{prefix}\"");
    let hmac = |file: &str, prefix: &str| {
        format!("preset = \"centrifugo\"\n{URL}\nkey_file = \"{file}\"\nuser_prefix = \"{prefix}\"")
    };
    for (first, second) in [
        (prefix(""), prefix("shop-")),
        (prefix("shop-"), prefix("")),
        (prefix("a"), prefix("ab")),
        (prefix("a-"), prefix("a-b-")),
        // What only shapes tokens and answers makes no other account.
        (prefix(""), prefix("shop-").replace("chat.example", "market.example")),
        (prefix(""), format!("{}\n[providers.market.claims]\nrole = \"buyer\"", prefix("shop-"))),
        // The channels of Pusher have a definition of their own, and users in common.
        (pusher("pusher", ""), pusher("pusher-channel", "shop-")),
        // The same secret in two files.
        (hmac("SECRET", ""), hmac("SAME", "shop-")),
    ] {
        let told = mistakes(&first, &second);
        assert!(told.contains("providers.market.user_prefix") && told.contains("provider \"chat\""), "{told}");
        assert!(told.contains("one begins the other"), "{told}");
    }
    for (first, second) in [
        (prefix(""), prefix("")),
        (prefix("shop-"), prefix("shop-")),
        (prefix("blog-"), prefix("shop-")),
        (prefix(""), prefix("shop-").replace("\"sidemint\"", "\"market\"")),
        (prefix(""), prefix("shop-").replace("audience = \"chat\"", "audience = \"market\"")),
        (hmac("SECRET", ""), hmac("OTHER", "shop-")),
        (pusher("pusher", "a"), pusher("pusher-channel", "a")),
    ] {
        assert_eq!(mistakes(&first, &second), "");
    }
}

/// T-67: an id that one rule makes of a subject is another's subject by another rule.
#[test]
fn one_prefix_of_one_account_has_one_rule_for_ids() {
    let local = |more: &str| format!("{LOCAL}\n{URL}\n{more}");
    for more in ["user_unfit = \"hash\"", "user_key_file = \"SECRET\""] {
        let told = mistakes(&local(""), &local(more));
        assert!(told.contains("provider \"chat\" is the same account with the same prefix"), "{told}");
        assert_eq!(mistakes(&local(more), &local(more)), "");
    }
}

/// T-67: Zendesk takes `Bob` for `bob`.
#[tokio::test(flavor = "multi_thread")]
async fn users_who_differ_in_case_alone_are_kept_apart_or_refused() {
    for (preset, lines) in [
        ("zendesk", "key_id = \"app_1\"\npublic_api_url = \"https://example.zendesk.com\"\n"),
        ("intercom", "app_id = \"abc\"\n"),
    ] {
        for (unfit, status) in [("refuse", 422), ("hash", 200)] {
            let folder = tempfile::tempdir().unwrap();
            let secret = folder.path().join("secret");
            std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
            let rest = format!(
                "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"{preset}\"\n\
                 {lines}user_unfit = \"{unfit}\"\nsecret_file = \"{}\"\n",
                secret.display()
            );
            let service = Service::start(&config(&rest, &[]), &Environment::default(), clock()).await;
            let ask = async |user: &str| service.ask("GET", SESSION, &[("X-Forwarded-User", user)]).await;
            let (bob, other) = (ask("bob").await, ask("Bob").await);
            assert_eq!((bob.status, other.status), (200, status), "{preset} {unfit}");
            let id = |answer: &crate::client::Answer| answer.json()["chatUserId"].to_string().to_lowercase();
            assert_ne!(id(&bob), id(&other), "{preset} {unfit}");
        }
    }
}
