//! `sidemint keygen`: a new signing key.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use data_encoding::HEXLOWER;
use strum::VariantArray as _;

use crate::cli::{Failure, NoConfiguration, print};
use crate::clock::{Clock as _, SystemClock};
use crate::provider::{Alg, SigningKey, generate};
use crate::secrets::{Secret, write};
use crate::webhook::delivery::SignKey;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Algorithm, or «webhook» for a key that deliveries of webhooks are signed with («webhook-ed25519»: with a public half)
    #[arg(long, value_parser = kinds(), default_value = "EdDSA")]
    alg: Kind,
    /// New file for the private key, mode 0600; the public half is then printed. An existing file is never replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the public half is printed: a JWK, PEM, or only the id that the key has where none is given; that of a webhook
    /// key has one form
    #[arg(long, value_enum, default_value_t = Public::Jwk, requires = "out")]
    public: Public,
    /// Secrets of a tier that replicas share: a file «names», and a key of today in «keys», below this folder. What is there stays,
    /// so a second run adds a key
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["alg", "out", "public"])]
    shared: Option<PathBuf>,
    #[command(flatten)]
    _unread: NoConfiguration,
}

/// Forms of a public key.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Public {
    Jwk,
    Pem,
    Kid,
}

/// What a key is for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Tokens.
    Token(Alg),
    /// Deliveries: one key for both sides.
    Webhook,
    /// Deliveries: a private key here, and the public half for the application.
    WebhookEd25519,
}

const WEBHOOK: &str = "webhook";
const WEBHOOK_ED25519: &str = "webhook-ed25519";

/// The names that [`Alg`] knows, and those of keys for deliveries.
fn kinds() -> impl TypedValueParser<Value = Kind> {
    let names = Alg::VARIANTS.iter().map(|alg| match alg {
        Alg::EdDsa => PossibleValue::new(alg.name()).alias(Alg::ED25519),
        alg => PossibleValue::new(alg.name()),
    });
    let names = names.chain([WEBHOOK, WEBHOOK_ED25519].map(PossibleValue::new));
    PossibleValuesParser::new(names).try_map(|name| match &*name {
        WEBHOOK => Ok(Kind::Webhook),
        WEBHOOK_ED25519 => Ok(Kind::WebhookEd25519),
        name => Alg::named(name).map(Kind::Token).ok_or("is none of the possible values"),
    })
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(folder) = &options.shared {
        return shared(folder);
    }
    let no_randomness = || failed(&"no randomness");
    let secret = match options.alg {
        Kind::Token(alg) => generate(alg).map_err(|error| failed(&error))?,
        Kind::Webhook => SignKey::generate_shared().ok_or_else(no_randomness)?,
        Kind::WebhookEd25519 => SignKey::generate_private().ok_or_else(no_randomness)?,
    };
    let Some(path) = &options.out else {
        return print(&format!("{}\n", String::from_utf8_lossy(secret.expose()).trim_end()));
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    file.write_all(secret.expose()).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
    let public = match options.alg {
        Kind::Token(alg) => public(alg, &secret, options.public)?,
        Kind::Webhook => None,
        Kind::WebhookEd25519 => SignKey::read(&secret).map_err(|error| failed(&error))?.public().map(|key| key + "\n"),
    };
    print(&public.unwrap_or_default())
}

/// Makes what a tier needs that replicas share: 32 bytes each, as hex.
fn shared(folder: &Path) -> Result<(), Failure> {
    let keys = folder.join("keys");
    let day: String = SystemClock.now().to_rfc3339().chars().take(10).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&keys).map_err(|error| failed(&error))?;
    let key = keys.join(format!("{day}.key"));
    let mut said = String::new();
    for path in [folder.join("names"), key] {
        let place = path.display();
        if path.exists() {
            said.extend([&*place.to_string(), " stays as it is\n"]);
            continue;
        }
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed(&"no randomness"))?;
        write::create(&path, HEXLOWER.encode(&bytes).as_bytes())
            .map_err(|error| failed(&format!("{place}: {error}")))?;
        said.extend([&*place.to_string(), " is new\n"]);
    }
    print(&said)
}

/// The public half of a key for tokens; a shared one has none.
fn public(alg: Alg, secret: &Secret, form: Public) -> Result<Option<String>, Failure> {
    let key = SigningKey::read(alg, secret).map_err(|error| failed(&error))?;
    Ok(match form {
        Public::Jwk => key.thumbprint().and_then(|kid| key.jwk(&kid)).map(|jwk| format!("{jwk}\n")),
        Public::Pem => key.public_pem(),
        Public::Kid => key.thumbprint().map(|kid| kid + "\n"),
    })
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::Running(format!("no key: {error}"))
}
