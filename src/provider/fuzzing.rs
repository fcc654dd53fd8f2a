//! What must hold for any definition, template, subject, request and advice.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::calls::advice;
use super::calls::auth::{Carrier, Mac, StepAuth};
use super::compile;
use super::credentials::Credentials;
use super::definition::settings;
use super::definition::{Definition, Setting, SettingKind};
use super::keys::mac::Encode;
use super::template::json::JsonTemplate;
use super::template::text::{TextTemplate, UrlTemplate};
use super::template::{Profile, Scope, TemplatePlace, Variables};
use super::user::{UserId, UserRule};
use crate::clock::Timestamp;
use crate::config::{self, Environment, Unfit};
use crate::definition::whole;
use crate::metrics::Metrics;

/// A definition as an operator writes it: refused with a place and a sentence, or compiled.
pub(crate) fn provider_definition(bytes: &[u8]) {
    let Ok(definition) = Definition::parse(&String::from_utf8_lossy(bytes)) else { return };
    let given = definition.settings.iter().filter_map(|(name, setting)| given(name, setting)).collect();
    let Ok(settings) = settings::resolve(&definition, &given, &Environment::default()) else { return };
    let Ok(metrics) = Metrics::new() else { return };
    let table = config::Provider {
        preset: definition.name.clone(),
        timeout: std::time::Duration::from_secs(5),
        retries: 0,
        calls_at_once: 1,
        client_margin: None,
        upsert_memory: None,
        rate: None,
        user_prefix: String::new(),
        user_unfit: Unfit::default(),
        gateway: serde_json::Map::new(),
        settings: BTreeMap::new(),
        origin: String::new(),
        origins: BTreeMap::new(),
    };
    let wanted = super::Wanted { sessions: true, gateway: definition.gateway.is_some() };
    if let Err(mistakes) = compile::compile("chat", &definition, settings, &table, &metrics, wanted) {
        assert!(mistakes.iter().all(|mistake| !mistake.problem.is_empty()), "every mistake is told");
    }
}

/// What an operator might give for a setting that has to be given.
fn given(name: &str, setting: &Setting) -> Option<(String, Value)> {
    if setting.secret {
        return Some((format!("{name}_file"), Value::from("/run/secrets/key")));
    }
    let value = match setting.kind {
        _ if setting.default.is_some() || setting.part_of.is_some() => return None,
        SettingKind::Url => Value::from("https://chat.example/v1"),
        SettingKind::Text => Value::from("text"),
        SettingKind::Number => Value::from(7),
        SettingKind::Flag => Value::from(true),
        SettingKind::Template => Value::from("{{user.id}}"),
        SettingKind::Table => serde_json::json!({ "a": "{{user.name}}" }),
        SettingKind::List => serde_json::json!(["{{user.id}}"]),
    };
    Some((name.to_owned(), value))
}

fn scope() -> Scope {
    Scope { settings: [("tenant".to_owned(), Value::from("t1"))].into(), ..Scope::default() }
}

/// A template, then subject, name and e-mail, a line each: whatever the user is called, JSON stays JSON and a call stays
/// on its host and below its path.
pub(crate) fn template(bytes: &[u8]) {
    let parts: Vec<_> = lines(bytes).collect();
    let part = |at: usize| parts.get(at).map_or("", AsRef::as_ref);
    let user = UserRule::default().id(part(1), None).unwrap_or_default();
    let profile = Profile { subject: part(1), name: Some(part(2)), email: Some(part(3)), ..Profile::default() };
    let variables = Variables::of(&user, &profile);
    if let Ok(template) = TextTemplate::compile(part(0), &"fuzz".into(), &mut scope()) {
        let (once, again) = (template.render(&variables), template.render(&variables));
        assert_eq!(once.is_ok(), again.is_ok());
    }
    let members = serde_json::json!({ "a": part(0), "b": [part(0), "{{user.id}}"] });
    if let Ok(template) = JsonTemplate::compile(&members, &"fuzz".into(), &mut scope()) {
        let mut out = Vec::new();
        if template.render(&variables, &mut out).is_ok() {
            let read: Result<Value, _> = serde_json::from_slice(&out);
            assert!(read.is_ok_and(|read| read.is_object()), "JSON stays JSON");
        }
    }
    let address = format!("https://api.example/v1/{}", part(0));
    if let Ok(template) = UrlTemplate::compile(&address, &"fuzz".into(), &mut scope())
        && let Ok(url) = template.render(&variables)
    {
        assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("api.example"), None), "{url}");
        assert!(url.query().is_none() && url.fragment().is_none(), "{url}");
    }
    // The same with the subject where a segment is expected, whatever it is.
    if let Ok(template) = UrlTemplate::compile("https://api.example/v1/{{user.id}}/x", &"fuzz".into(), &mut scope())
        && let Ok(url) = template.render(&variables)
    {
        assert_eq!(url.path_segments().map(Iterator::count), Some(3), "{url}");
        assert!(url.path().starts_with("/v1/") && url.path().ends_with("/x"), "{url}");
    }
}

/// Two subjects, a line each: two ids, or one is refused (T-15).
pub(crate) fn user_id(bytes: &[u8]) {
    let mut parts = lines(bytes);
    let (one, two) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for unfit in [Unfit::Refuse, Unfit::Hash] {
        for (pattern, max_bytes) in [(None, None), (Some("app_[a-z0-9_-]+:x"), Some(64)), (Some(".{1,60}"), Some(48))] {
            let Ok(pattern) = pattern.map(whole).transpose() else { continue };
            let rule = UserRule {
                prefix: "app_".to_owned(),
                suffix: ":x".to_owned(),
                pattern,
                max_bytes,
                unfit,
                in_path: false,
                folds: false,
            };
            let ids = [&one, &two].map(|subject| rule.id(subject, None));
            for id in ids.iter().flatten() {
                assert!(id.id.len() <= max_bytes.unwrap_or(512));
                assert_eq!(format!("app_{}:x", id.local()), id.id);
            }
            let [Some(x), Some(y)] = ids else { continue };
            assert_eq!(x == y, one == two, "different subjects have different ids");
        }
    }
}

/// A method, a path with query, and a body: the text that is signed names all of them, and two calls are signed alike
/// only when they are alike but for the order of their parameters.
pub(crate) fn request_signature(bytes: &[u8]) {
    let parts: Vec<_> = lines(bytes).collect();
    let signed = |at: usize| {
        let part = |below: usize| parts.get(at + below).map_or("", AsRef::as_ref);
        let method = Method::from_bytes(part(0).as_bytes()).ok()?;
        let url: url::Url = format!("https://api.example/{}", part(1)).parse().ok()?;
        let mut query: Vec<String> =
            url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
        query.sort_unstable();
        let whole = (method.clone(), url.path().to_owned(), query, part(2).to_owned());
        let call =
            crate::outbound::Call { method, url, headers: HeaderMap::new(), body: Some(part(2).to_owned().into()) };
        Some((sign(call)?, whole))
    };
    if let (Some((one, asked)), Some((two, other))) = (signed(0), signed(3)) {
        assert_eq!(one == two, asked == other, "a signature is for one request");
    }
}

fn sign(mut call: crate::outbound::Call) -> Option<HeaderValue> {
    const NAME: HeaderName = HeaderName::from_static("x-signature");
    let mut scope = scope();
    let text = "{{request.method}}\n{{request.path}}\n{{request.query}}\n{{request.body}}";
    let text = scope.at(TemplatePlace::Signature, |scope| TextTemplate::compile(text, &"fuzz".into(), scope)).ok()?;
    let mac = Mac { key: 0, text, encode: Encode::Hex };
    let auth = StepAuth::Signature { mac, carrier: Carrier::Header(NAME), prefix: String::new() };
    let (user, profile) = (UserId::default(), Profile::default());
    auth.apply(&mut call, &Credentials::for_fuzzing()?, &Variables::of(&user, &profile)).ok()?;
    call.headers.get(NAME).cloned()
}

/// A value of `Retry-After`, then a body: whatever a provider asks for, it is within a day.
pub(crate) fn retry_advice(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let (value, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for name in ["retry-after", "x-reset-ms"] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let now = Timestamp::from_seconds(1_777_920_000);
    let extra = [HeaderName::from_static("x-reset-ms")];
    for headers in [headers, HeaderMap::new()] {
        let span = advice::advice(&headers, body.as_ref(), &extra, now);
        assert!(span.is_none_or(|span| span.as_secs() <= 86_400), "{span:?}");
    }
}

/// The lines of any bytes, as text.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy)
}
