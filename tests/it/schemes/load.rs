//! Definitions that would prove less than they seem to are refused when they are compiled.

use sidemint::webhook::scheme::Scheme;

/// A good definition, and what changes in it.
fn problems(change: impl FnOnce(&mut toml::Table)) -> String {
    let text = r#"
        secret = "webhook_secret"
        hmac = "sha256"
        text = "{{ time }}.{{ request.body }}"
        signature = { header = "X-Signature", encode = "hex" }
        time = { header = "X-Time", kind = "seconds", window = "300s" }
    "#;
    let mut table: toml::Table = text.parse().unwrap();
    change(&mut table);
    match Scheme::compile(&table.try_into().unwrap(), None) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn with(member: &str, value: &str) -> String {
    let value: toml::Table = format!("x = {value}").parse().unwrap();
    problems(|table| drop(table.insert(member.to_owned(), value["x"].clone())))
}

/// W-02, W-06, W-07, W-08: each refusal names its place and what to write.
#[test]
fn what_proves_less_than_it_seems_to_is_refused() {
    assert_eq!(problems(|_| ()), "");
    for (member, value, problem) in [
        ("text", "'v0.{{ request.body }}'", "time: is not covered by the proof"),
        ("text", "'{{ time }}.'", "text: says nothing of the body"),
        ("text", "'{{ time }}{{ request.body }}'", ""),
        ("text", "'{{ header.x-a }}{{ time }}.{{ request.body }}'", "text: has two values with nothing between them"),
        ("text", "'{{ time }}.{{ request.body }}{{ header.x-a }}'", "text: has two values with nothing between them"),
        (
            "text",
            "'{{ time }}.{{ request.body }}.{{ request.body }}'",
            "text: names the same part of the request twice",
        ),
        ("text", "'{{ time }}.{{ id }}.{{ request.body }}'", "text: holds {{ id }}, and no id is read from a header"),
        ("text", "'{{ time }}.{{ request.bdy }}'", "text: unknown variable \"request.bdy\""),
        (
            "text",
            "'{{ request.url }}.{{ time }}.{{ request.body }}'",
            "write the address that the provider was given as public_url",
        ),
        ("text", "'{{ time }}.{{ request.form_sorted }}'", "text: says nothing of the body"),
        ("text", "'{{ time }}.{{ member.v }}.{{ request.body }}'", "signature.list: is missing"),
        ("body_hash", "{ query = 'h', encode = 'hex' }", "body_hash: is in the query, which is not signed"),
        (
            "jwt",
            "{ header = 'authorization', alg = 'HS256', issuer = 'key_id', leeway = '60s' }",
            "must have exactly one of hmac, jwt, basic and token",
        ),
        ("basic", "true", "must have exactly one of hmac, jwt, basic and token"),
        ("keys", "'webhook_keys'", "secret: stands beside keys"),
        ("key", "{ decode = 'nkey' }", "key.decode: is for private keys"),
        ("key", "{ min_bytes = 0 }", "key.min_bytes: is 0"),
        ("time", "{ kind = 'seconds', window = '300s' }", "time: must have exactly one of header, json and member"),
        ("id", "{ header = 'a', json = '/b' }", "id: must have exactly one of header, json and form"),
        ("event", "{ json = 'type' }", "event.json: \"type\" is no JSON Pointer; write \"/type\""),
        ("signature", "{ header = 'a b', encode = 'hex' }", "signature.header: \"a b\" is not a header name"),
        ("signature", "{ header = 'a', encode = 'hex', pick = 'v1=' }", "signature.pick: chooses from a list"),
        ("accept", "['json']", "accept[0]: \"json\" is no content type"),
        ("forward", "['Authorization']", "forward[0]: \"Authorization\" is not for the application"),
        ("forward", "['x-signature']", "forward[0]: \"x-signature\" is not for the application"),
        ("challenge", "[{ json = '/type' }]", "challenge[0].is: is missing"),
        ("challenge", "[{ json = '/type', method = 'GET' }]", "challenge[0]: must have exactly one of json"),
        ("challenge", "[{ method = 'OPTIONS', header = 'origin' }]", "challenge[0].allow: is empty"),
    ] {
        let told = with(member, value);
        assert!(
            if problem.is_empty() { told.is_empty() } else { told.contains(problem) },
            "{member} = {value}: {told}"
        );
    }
    let jwt = |jwt: &str| {
        let text = format!("keys = 'webhook_keys'\njwt = {jwt}");
        Scheme::compile(&toml::from_str(&text).unwrap(), None)
            .map_or_else(|mistakes| format!("{mistakes:?}"), |_| String::new())
    };
    let told = jwt("{ header = 'authorization', alg = 'HS256', issuer = 'key_id', leeway = '60s' }");
    assert!(told.contains("any token of this key would prove any body"), "{told}");
    let basic =
        "secret = 'webhook_secret'\nbasic = true\ntime = { header = 'x-time', kind = 'seconds', window = '300s' }";
    let told = Scheme::compile(&toml::from_str(basic).unwrap(), None).map(drop).unwrap_err();
    assert!(format!("{told:?}").contains("is not covered by the proof"), "{told:?}");
}

/// What cannot be written is refused by the shape alone.
#[test]
fn an_algorithm_is_one_of_those_that_are_safe() {
    for alg in ["none", "RS256", "hs256"] {
        let text = format!("keys = 'k'\njwt = {{ header = 'a', alg = '{alg}', issuer = 'key_id', leeway = '1s' }}");
        assert!(toml::from_str::<sidemint::provider::webhook::Webhook>(&text).is_err(), "{alg}");
    }
}

/// The example of the page about definitions is one.
#[test]
fn the_example_of_the_page_is_a_definition() {
    let page = include_str!("../../../docs/providers/definition.md");
    let example = page.split("```toml,webhook\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let definition = format!(
        "name = \"x\"\nsummary = \"x\"\nsettings.webhook_secret = {{ about = \"x\", secret = true, optional = true }}\n{example}"
    );
    assert!(sidemint::provider::Definition::parse(&definition).is_ok());
    let mut table: toml::Table = example.parse().unwrap();
    let webhook = table.remove("webhook").unwrap().try_into().unwrap();
    assert!(Scheme::compile(&webhook, None).is_ok());
}

/// A definition makes tokens, or proves events, or does both; what serves sessions stands beside a token.
#[test]
fn a_definition_without_a_token_has_nothing_that_serves_sessions() {
    let webhook = "[webhook]\nsecret = \"s\"\nhmac = \"sha256\"\ntext = \"{{ request.body }}\"\nsignature = { header = \"x\", encode = \"hex\" }\n";
    let parse = |more: &str| {
        let text = format!("name = \"x\"\nsummary = \"x\"\n{more}");
        let mistakes = sidemint::provider::Definition::parse(&text).err().into_iter().flatten();
        mistakes.map(|mistake| mistake.to_string()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(parse(webhook), "");
    for (more, problem) in [
        (String::new(), "token: is missing"),
        (format!("response = {{ api_url = \"x\" }}\n{webhook}"), "lifetime: is missing"),
        (format!("user = {{ case = \"counts\" }}\n{webhook}"), "user: serves sessions"),
        (format!("auth = {{ bearer = \"s\" }}\n{webhook}"), "auth: serves sessions"),
        (webhook.replace("hmac", "hmca"), "hmca"),
    ] {
        let told = parse(&more);
        assert!(told.contains(problem), "{more}: {told}");
    }
}
