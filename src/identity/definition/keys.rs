//! Where the keys of a signed source come from: the table `keys`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::outbound::Reach;

/// A day: nobody's keys are good for longer without a look.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often keys are fetched where the answer says nothing.
const REFRESH: Duration = Duration::from_secs(20 * 60);
/// The place of the key id in an address.
const KID: &str = "{kid}";
/// A key id to try an address with.
const ANY_KID: &str = "00000000-0000-0000-0000-000000000000";

/// The shortest and the longest time between two looks at a source.
pub(in crate::identity) const REFRESH_BOUNDS: (Duration, Duration) = (Duration::from_secs(5 * 60), DAY);

/// The table as written. An empty text is as good as none, so that an operator can take back what a preset says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    url: String,
    discovery: bool,
    file: PathBuf,
    pem_url: String,
    secret_file: PathBuf,
    form: Option<KeyForm>,
    network: Network,
    max_age: Option<String>,
    refresh: Option<String>,
    ca_file: PathBuf,
    bearer_file: PathBuf,
}

/// What a key set looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::identity) enum KeyForm {
    /// A JWK set (RFC 7517, 5).
    #[default]
    Jwks,
    /// A JSON object: key id to PEM.
    PemMap,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Network {
    #[default]
    Public,
    Private,
}

/// Where keys come from, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct KeyPlan {
    pub(in crate::identity) place: KeyPlace,
    pub(in crate::identity) form: KeyForm,
    pub(in crate::identity) reach: Reach,
    /// How old the last good set may become while its source is down.
    pub(in crate::identity) max_age: Duration,
    /// Time between two looks where the answer says nothing.
    pub(in crate::identity) refresh: Duration,
    /// Certificates that the server may be signed by, beside the system's.
    pub(in crate::identity) ca_file: Option<PathBuf>,
    /// Shown to the server, read anew for each look.
    pub(in crate::identity) bearer_file: Option<PathBuf>,
}

/// The place itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) enum KeyPlace {
    /// A key set.
    Url(Url),
    /// A key set that the issuer's own description names.
    Discovery {
        /// Must be told by the description, byte for byte.
        issuer: String,
        /// Where the description is.
        url: Url,
    },
    /// One PEM for each key id.
    PemUrl(PemUrl),
    /// A file with a key set, or with public keys in PEM.
    File(PathBuf),
    /// A file with the secret that both sides share.
    SecretFile(PathBuf),
}

impl KeyPlace {
    /// Whether the operator named whoever is at this address: others, to whom an issuer leads, are shown no credential.
    pub(in crate::identity) fn is_named(&self, url: &Url) -> bool {
        match self {
            Self::Discovery { url: own, .. } => own.origin() == url.origin(), // T-23: origin of the issuer
            Self::Url(_) | Self::PemUrl(_) | Self::File(_) | Self::SecretFile(_) => true,
        }
    }
}

/// An address with a place for the key id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) struct PemUrl(String);

impl PemUrl {
    /// The address of one key. Key ids stand in tokens that nobody has verified yet: only a UUID gets in (T-20).
    pub(in crate::identity) fn of(&self, kid: &str) -> Option<Url> {
        is_uuid(kid).then(|| self.0.replace(KID, kid).parse().ok()).flatten() // T-20: kid in an address
    }
}

/// Whether this is a UUID as usually written.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

impl KeyPlan {
    /// Checks the table. `issuers` is what the tokens may say. Mistakes name the key.
    pub(super) fn check(raw: Raw, issuers: &[String]) -> Result<Self, String> {
        let reach = match raw.network {
            Network::Public => Reach::Public,
            Network::Private => Reach::Private,
        };
        let mut places = Vec::new();
        if !raw.url.is_empty() {
            places.push(("url", KeyPlace::Url(address("keys.url", &raw.url, reach)?)));
        }
        if raw.discovery {
            places.push(("discovery", discovery(issuers, reach)?));
        }
        if !raw.pem_url.is_empty() {
            places.push(("pem_url", KeyPlace::PemUrl(pem_url(&raw.pem_url, reach)?)));
        }
        if let Some(path) = given(raw.file) {
            places.push(("file", KeyPlace::File(path)));
        }
        if let Some(path) = given(raw.secret_file) {
            places.push(("secret_file", KeyPlace::SecretFile(path)));
        }
        let names: Vec<_> = places.iter().map(|(name, _)| *name).collect();
        let place = match (places.pop(), places.pop()) {
            (Some((_, place)), None) => place,
            (None, _) => return Err("keys: needs one of url, discovery, pem_url, file, secret_file".to_owned()),
            _ => return Err(format!("keys: has {}; keep one of them", names.join(" and "))),
        };
        let fetched = matches!(place, KeyPlace::Url(_) | KeyPlace::Discovery { .. } | KeyPlace::PemUrl(_));
        for (key, is_set) in [
            ("ca_file", !raw.ca_file.as_os_str().is_empty()),
            ("bearer_file", !raw.bearer_file.as_os_str().is_empty()),
            ("max_age", raw.max_age.is_some()),
            ("refresh", raw.refresh.is_some()),
        ] {
            if is_set && !fetched {
                return Err(format!("keys.{key}: is for keys that are fetched; remove it"));
            }
        }
        if raw.form.is_some() && !matches!(place, KeyPlace::Url(_)) {
            return Err("keys.form: is for keys.url; remove it".to_owned());
        }
        Ok(Self {
            place,
            form: raw.form.unwrap_or_default(),
            reach,
            max_age: span("keys.max_age", raw.max_age.as_deref(), DAY, (REFRESH_BOUNDS.0, 7 * DAY))?,
            refresh: span("keys.refresh", raw.refresh.as_deref(), REFRESH, REFRESH_BOUNDS)?,
            ca_file: given(raw.ca_file),
            bearer_file: given(raw.bearer_file),
        })
    }
}

fn given(path: PathBuf) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then_some(path)
}

fn address(key: &str, text: &str, reach: Reach) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| format!("{key}: \"{text}\" is not an address"))?;
    // An address with a password in it is not repeated.
    reach.check(&url).map_err(|problem| format!("{key}: {problem}"))?;
    Ok(url)
}

/// `OpenID` Connect Discovery 1.0, section 4: the path goes behind the issuer, whose last slash does not count.
fn discovery(issuers: &[String], reach: Reach) -> Result<KeyPlace, String> {
    let [issuer] = issuers else {
        return Err("keys.discovery: needs jwt.issuer, which is one address then".to_owned());
    };
    let text = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let url = address("jwt.issuer", &text, reach)?;
    if url.query().is_some() {
        return Err("jwt.issuer: must not hold '?' where the keys are discovered".to_owned());
    }
    Ok(KeyPlace::Discovery { issuer: issuer.to_owned(), url })
}

fn pem_url(text: &str, reach: Reach) -> Result<PemUrl, String> {
    let tried = address("keys.pem_url", &text.replace(KID, ANY_KID), reach)?;
    let in_path = tried.path().matches(ANY_KID).count() == 1 && tried.path().ends_with(&format!("/{ANY_KID}"));
    let once = text.matches(KID).count() == 1 && text.ends_with(KID);
    if once && in_path && tried.query().is_none() {
        Ok(PemUrl(text.to_owned()))
    } else {
        Err("keys.pem_url: must end with \"/{kid}\", as in \"https://host.example/{kid}\"".to_owned())
    }
}

fn span(key: &str, text: Option<&str>, usual: Duration, bounds: (Duration, Duration)) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(usual) };
    let span = humantime::parse_duration(text)
        .map_err(|_| format!("{key}: \"{text}\" is not a time; write it like \"20m\" or \"24h\""))?;
    let (least, most) = bounds;
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
    Err(format!("{key}: {text} is not between {least} and {most}"))
}

impl fmt::Display for KeyPlan {
    /// Where keys come from, for people. Addresses are the operator's own, and hold no credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            KeyPlace::Url(url) => write!(f, "{url}"),
            KeyPlace::Discovery { url, .. } => write!(f, "discovered at {url}"),
            KeyPlace::PemUrl(PemUrl(text)) => write!(f, "{text}"),
            KeyPlace::File(path) => write!(f, "file {}", path.display()),
            KeyPlace::SecretFile(path) => write!(f, "secret file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(table: Value, issuer: &str) -> Result<KeyPlan, String> {
        let raw = serde_json::from_value(table).map_err(|error| error.to_string())?;
        let issuers = Some(issuer).filter(|issuer| !issuer.is_empty()).map(str::to_owned);
        KeyPlan::check(raw, &Vec::from_iter(issuers))
    }

    #[test]
    fn exactly_one_place_is_named() {
        for good in [
            json!({ "url": "https://issuer.example/keys" }),
            json!({ "url": "https://issuer.example/keys", "form": "pem-map" }),
            json!({ "discovery": true }),
            json!({ "url": "", "file": "/run/keys.json" }),
            json!({ "secret_file": "/run/secret" }),
            json!({ "pem_url": "https://keys.example/{kid}" }),
            json!({ "url": "http://127.0.0.1:1/keys", "network": "private", "max_age": "1h", "refresh": "5m" }),
        ] {
            assert!(check(good.clone(), "https://issuer.example/").is_ok(), "{good}");
        }
        for (bad, told) in [
            (json!({}), "keys: needs one of"),
            (json!({ "url": "https://a.example/", "file": "/x" }), "keys: has url and file"),
            (json!({ "url": "https://a.example/", "discovery": true }), "keys: has url and discovery"),
            (json!({ "url": "nonsense" }), "keys.url: \"nonsense\" is not an address"),
            (json!({ "file": "/x", "max_age": "1h" }), "keys.max_age: is for keys that are fetched"),
            (json!({ "file": "/x", "form": "jwks" }), "keys.form: is for keys.url"),
            (json!({ "url": "https://a.example/", "refresh": "1m" }), "keys.refresh: 1m is not between 5m and 1day"),
            (json!({ "url": "https://a.example/", "max_age": "soon" }), "keys.max_age: \"soon\" is not a time"),
            (json!({ "uri": "https://a.example/" }), "unknown field `uri`"),
        ] {
            let error = check(bad.clone(), "https://issuer.example").expect_err("refused");
            assert!(error.contains(told), "{bad}: {error}");
        }
    }

    /// T-23: addresses that hide another host, or lead inside, are mistakes of the configuration.
    #[test]
    fn addresses_must_be_plain_public_https() {
        for url in [
            "http://issuer.example/keys",
            "https://user:hunter2@issuer.example/keys",
            "https://issuer.example/keys#x",
            "https://127.0.0.1/keys",
            "https://169.254.169.254/keys",
            "https://localhost/keys",
            "file:///etc/passwd",
        ] {
            let error = check(json!({ "url": url }), "").expect_err(url);
            assert!(error.starts_with("keys.url: ") && !error.contains("hunter2"), "{url}: {error}");
            let error = check(json!({ "discovery": true }), url).expect_err(url);
            assert!(error.starts_with("jwt.issuer: ") && !error.contains("hunter2"), "{url}: {error}");
        }
        let error = check(json!({ "discovery": true }), "").expect_err("no issuer");
        assert!(error.contains("needs jwt.issuer"), "{error}");
    }

    #[test]
    fn the_description_is_below_the_issuer() {
        for (issuer, url) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/o/app/", "https://a.example/o/app/.well-known/openid-configuration"),
        ] {
            let plan = check(json!({ "discovery": true }), issuer).expect(issuer);
            let KeyPlace::Discovery { issuer: own, url: found } = plan.place else { panic!("discovery") };
            assert_eq!((own.as_str(), found.as_str()), (issuer, url));
        }
    }

    /// T-20: nothing but a UUID gets into the address of a key.
    #[test]
    fn only_a_uuid_gets_into_an_address() {
        for bad in
            ["https://{kid}.example/x", "https://a.example/{kid}/x", "https://a.example/?k={kid}", "https://a.example/"]
        {
            let error = check(json!({ "pem_url": bad }), "").expect_err(bad);
            assert!(error.starts_with("keys.pem_url: "), "{bad}: {error}");
        }
        let plan = check(json!({ "pem_url": "https://keys.example/{kid}" }), "").expect("checked");
        let KeyPlace::PemUrl(url) = plan.place else { panic!("a PEM for each key") };
        let kid = "0123abcd-4567-89AB-cdef-0123456789ab";
        assert_eq!(url.of(kid).expect("an address").as_str(), format!("https://keys.example/{kid}"));
        let long = "0".repeat(10_240);
        for kid in ["", "../x", "%2e", "http://evil.example/", "0123abcd-4567-89AB-cdef-0123456789a/", "{kid}", &long] {
            assert_eq!(url.of(kid), None, "{kid}");
        }
    }
}
