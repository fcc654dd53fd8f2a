//! The format of a provider definition, word for word. Unknown members are refused; [`super::compile`] does the rest.
//!
//! `docs/providers/definition.schema.json` is generated from these types.

mod auth;
mod client;
mod failure;
pub mod gateway;
mod input;
mod key;
mod library;
pub(super) mod settings;
mod step;
mod token;
pub mod webhook;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use auth::Auth;
pub use client::{Client, ClientError, ClientMethod, ContentType};
pub use failure::{Blame, Class};
pub use gateway::GatewaySection;
pub use input::Input;
pub use key::{Hash, Hmac, Key, MacEncoding, SideJwt};
pub use library::{Definitions, PRESETS};
pub use step::{Expires, ExpiryKind, Only, Rule, Step, Then};
pub use token::{Jwt, Let, LocalExpiry, Token};
pub use webhook::{TimeKind, Webhook, WebhookSection};

use crate::definition::{Count, Mistake, Mistakes, Span, YEAR, read};
pub use crate::definition::{Encoding, OneOrMany, Part, PublicForm, Setting, SettingKind};

/// A span of time in a definition. Beyond ten years, sums of times have no meaning.
pub type Life = Span<{ 10 * YEAR }>;

/// How a provider mints tokens, knows users and wants to be called.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What operators write as `preset`.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Where the provider documents what is written here.
    #[serde(default)]
    pub documentation: Option<String>,
    /// What every operator should be told at start: a sentence.
    #[serde(default)]
    pub caution: Option<String>,
    /// What the operator may or must give.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// What a request may add.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// How calls prove who is calling, unless a step says otherwise.
    #[serde(default)]
    pub auth: Option<OneOrMany<Auth>>,
    /// How the chat user id is made from the subject.
    #[serde(default)]
    pub user: User,
    /// How long tokens live. A definition that makes tokens has `lifetime`, `token` and `response`; one that only proves
    /// webhooks or makes calls for an application has none of the three.
    #[serde(default)]
    pub lifetime: Option<Lifetime>,
    /// How often the provider may be called, and where it says so.
    #[serde(default)]
    pub limits: Limits,
    /// Values with a name, worked out once a mint, in this order.
    #[serde(default, rename = "let", deserialize_with = "in_order")]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Let>"))]
    pub lets: Vec<(String, Let)>,
    /// How a user is created or updated.
    #[serde(default)]
    pub upsert: Option<Upsert>,
    /// How a token is made.
    #[serde(default)]
    pub token: Option<Token>,
    /// How all tokens of a user are taken back.
    #[serde(default)]
    pub revoke: Option<Revoke>,
    /// How public keys are registered and retired.
    #[serde(default)]
    pub keys: Option<Keys>,
    /// What the session says beside the token.
    #[serde(default)]
    pub response: Option<Response>,
    /// What the provider's own client library expects of its auth endpoint.
    #[serde(default)]
    pub client: Option<Client>,
    /// How the events that the provider posts are proven.
    #[serde(default)]
    pub webhook: Option<WebhookSection>,
    /// The server-side calls that an application may make through the gateway.
    #[serde(default)]
    pub gateway: Option<GatewaySection>,
}

/// What a definition says that makes tokens.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider) struct Sessions<'d> {
    /// How long tokens live.
    pub(in crate::provider) lifetime: &'d Lifetime,
    /// How a token is made.
    pub(in crate::provider) token: &'d Token,
    /// What the session says beside the token.
    pub(in crate::provider) response: &'d Response,
}

/// How the chat user id is made. Every rule keeps different subjects different, or refuses.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Whether `Bob` and `bob` are two users at the provider. It must be said, because two users must not become one there.
    #[cfg_attr(test, schemars(required))]
    pub case: Option<Case>,
    /// Settings that name the account: two providers with the same values share their users.
    #[serde(default)]
    pub account: Vec<String>,
    /// Text before the subject; a template over settings.
    #[serde(default)]
    pub prefix: String,
    /// Text behind the subject; a template over settings.
    #[serde(default)]
    pub suffix: String,
    /// Regular expression that the whole id must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Bytes at most.
    #[serde(default)]
    pub max_bytes: Option<Count<4096, 1>>,
}

/// Whether `Bob` and `bob` are two users at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// They are two.
    Counts,
    /// They are one, or it is not known. Only subjects without capitals are taken; `user_unfit = "hash"` takes the others as
    /// well and keeps them apart.
    Folds,
}

/// How long tokens live.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// Where the route does not say.
    pub default: Life,
    /// Shortest that may be asked for.
    #[serde(default)]
    pub minimum: Option<Life>,
    /// Longest that may be asked for.
    #[serde(default)]
    pub maximum: Option<Life>,
    /// The client's own refresh margin: never hand out a token with this much or less left.
    pub margin: Life,
    /// What happens to sessions when secrets or keys change.
    pub on_credential_change: OnCredentialChange,
    /// Whether sessions end after the lifetime asked for where the provider's tokens have no end. Where they have one,
    /// a session never lives longer than was asked for.
    #[serde(default)]
    pub shorten: bool,
}

/// What happens to sessions when secrets or keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnCredentialChange {
    /// They stay valid.
    Keep,
    /// They are dropped and minted anew.
    Drop,
}

/// How often the provider may be called.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls in a span of time: `"90/min"`, `"10/s"`.
    #[serde(default)]
    pub rate: Option<String>,
    /// Calls at once, out of that rate.
    #[serde(default)]
    pub burst: Option<Count<1_000_000, 1>>,
    /// Calls that wait for their turn at most; those beyond are refused at once.
    #[serde(default)]
    pub queue: Option<Count<100_000>>,
    /// Headers with retry advice beside `Retry-After`.
    #[serde(default)]
    pub retry_headers: Vec<String>,
}

/// How a user is created or updated.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Upsert {
    /// How long an unchanged profile is taken for known.
    pub remember: Life,
    /// The calls, in order.
    pub steps: Vec<Step>,
}

/// How all tokens of a user are taken back, when the user signs out.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The calls, in order.
    pub steps: Vec<Step>,
}

/// How public keys are registered and retired. Templates may name `key.kid`, `key.alg`, `key.pem` and `key.jwk`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Optional settings that the calls need. Where the operator gives none of them, keys are registered by hand.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The calls that register a public key.
    pub register: Vec<Step>,
    /// The calls that succeed once a registered key is in service.
    #[serde(default)]
    pub verify: Vec<Step>,
    /// The calls that retire one.
    pub retire: Vec<Step>,
}

/// What the session says beside the token.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Address that the browser uses; a template over settings.
    pub api_url: String,
    /// The user's id at the provider, where that is not `user.id`; a template.
    #[serde(default)]
    pub user_id: Option<String>,
    /// Further members.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

const fn yes() -> bool {
    true
}

/// Reads a table in the order of the file.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Let)>, D::Error> {
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Let)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut lets = Vec::new();
            while let Some(entry) = map.next_entry()? {
                lets.push(entry);
            }
            Ok(lets)
        }
    }
    deserializer.deserialize_map(InOrder)
}

impl Definition {
    /// Reads a definition.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let written: Map<String, Value> =
            toml::from_str(text).map_err(|error| Mistake::from(error.to_string().trim_end()))?;
        let mut mistakes = Mistakes::default();
        let Some(definition) = read::<Self>(&written, &mut mistakes) else { return Err(mistakes) };
        mistakes.note(definition.check_parts());
        mistakes.note(definition.webhook.as_ref().map_or(Ok(()), WebhookSection::check));
        mistakes.note(definition.gateway.as_ref().map_or(Ok(()), GatewaySection::check));
        mistakes.or(definition)
    }

    /// A definition makes tokens, proves webhooks, makes calls, or does several of these. What only serves sessions stands
    /// beside a token.
    fn check_parts(&self) -> Result<(), Mistake> {
        let parts = [
            ("lifetime", self.lifetime.is_some()),
            ("token", self.token.is_some()),
            ("response", self.response.is_some()),
        ];
        if parts.iter().all(|(_, is_there)| *is_there) {
            return Ok(());
        }
        if let Some((name, _)) =
            parts.iter().find(|(_, is_there)| !is_there).filter(|_| parts.iter().any(|part| part.1))
        {
            return Err(Mistake::new(
                *name,
                "is missing; a definition has lifetime, token and response, or none of them",
            ));
        }
        if self.webhook.is_none() && self.gateway.is_none() {
            let problem = "is missing; write how a token is made, or [webhook] or [gateway] and no token";
            return Err(Mistake::new("token", problem));
        }
        let user = &self.user;
        let says_user = user.case.is_some() || !user.account.is_empty() || user.pattern.is_some();
        // Calls prove who is calling, and may be made for a user.
        let calls = self.gateway.is_some();
        let beside = [
            ("inputs", !self.inputs.is_empty()),
            ("auth", self.auth.is_some() && !calls),
            ("user", says_user && !calls),
            ("let", !self.lets.is_empty()),
            ("upsert", self.upsert.is_some()),
            ("revoke", self.revoke.is_some()),
            ("keys", self.keys.is_some()),
            ("client", self.client.is_some()),
        ];
        match beside.iter().find(|(_, is_there)| *is_there) {
            Some((name, _)) => {
                Err(Mistake::new(*name, "serves sessions, and this definition makes no token; remove it"))
            }
            None => Ok(()),
        }
    }

    /// What it says of tokens, where it makes any.
    pub(in crate::provider) fn sessions(&self) -> Option<Sessions<'_>> {
        let (lifetime, token, response) = (self.lifetime.as_ref()?, self.token.as_ref()?, self.response.as_ref()?);
        Some(Sessions { lifetime, token, response })
    }

    /// The secret setting that holds the key of tokens, where they are signed here.
    pub fn token_key(&self) -> Option<&str> {
        Some(self.token.as_ref()?.jwt.as_ref()?.key.secret())
    }

    /// Whether the place of a mistake is in the definition, and not in what an operator gave for it.
    pub(super) fn has(&self, place: &crate::definition::Key) -> bool {
        const SECTIONS: [&str; 14] = [
            "settings", "inputs", "auth", "user", "limits", "let", "upsert", "token", "revoke", "keys", "response",
            "client", "webhook", "gateway",
        ];
        let section = place.names().next().unwrap_or_default();
        SECTIONS.contains(&section) && !self.settings.contains_key(section)
    }

    /// A definition that ships with the binary.
    pub fn preset(name: &str) -> Option<Result<Self, Mistakes>> {
        PRESETS.iter().find(|(own, _)| *own == name).map(|(_, text)| Self::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_are_called_what_their_files_are_called() {
        for (name, _) in PRESETS {
            let definition = Definition::preset(name).expect(name).expect("parses");
            assert_eq!(definition.name, *name);
        }
    }

    /// The committed schema is the one that these types have. `UPDATE_SCHEMA=1 cargo test schema` writes it anew.
    #[test]
    fn the_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers/definition.schema.json");
        let schema =
            schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<Definition>();
        let schema = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &schema).expect("written");
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), schema, "UPDATE_SCHEMA=1 cargo test schema");
    }

    #[test]
    fn a_list_of_codes_is_several_codes() {
        let rule =
            |is: &str| toml::from_str::<Rule>(&format!("code = \"/code\"\nis = {is}\naccept = true")).expect("a rule");
        for (is, codes) in [("[16, 4]", 2), ("16", 1), ("\"x\"", 1)] {
            assert_eq!(rule(is).is.expect("given").as_slice().len(), codes, "{is}");
        }
    }

    #[test]
    fn unknown_members_are_refused() {
        let (_, sendsar) = PRESETS.iter().find(|(name, _)| *name == "sendsar").expect("a preset");
        let text = sendsar.replace("[response]", "[response]\ncolour = \"red\"");
        let mistakes = Definition::parse(&text).expect_err("refused");
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.to_string()).collect();
        assert_eq!(keys, ["response.colour"]);
    }
}
