//! `sidemint keygen`: a new signing key.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use strum::VariantArray as _;

use super::{Failure, NoConfiguration, print};
use crate::provider::{Alg, SigningKey, generate};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Algorithm
    #[arg(long, value_parser = algorithms(), default_value = "EdDSA")]
    alg: Alg,
    /// New file for the private key, mode 0600; the public half is then printed. An existing file is never replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the public half is printed: a JWK, PEM, or only the id that the key has where none is given
    #[arg(long, value_enum, default_value_t = Public::Jwk, requires = "out")]
    public: Public,
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

/// The names that [`Alg`] knows.
fn algorithms() -> impl TypedValueParser<Value = Alg> {
    let names = Alg::VARIANTS.iter().map(|alg| match alg {
        Alg::EdDsa => PossibleValue::new(alg.name()).alias(Alg::ED25519),
        alg => PossibleValue::new(alg.name()),
    });
    PossibleValuesParser::new(names).try_map(|name| Alg::named(&name).ok_or("is none of the possible values"))
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Running(format!("no key: {error}"));
    let alg = options.alg;
    let secret = generate(alg).map_err(|error| failed(&error))?;
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
    let key = SigningKey::read(alg, &secret).map_err(|error| failed(&error))?;
    let public = match options.public {
        Public::Jwk => key.thumbprint().and_then(|kid| key.jwk(&kid)).map(|jwk| format!("{jwk}\n")),
        Public::Pem => key.public_pem(),
        Public::Kid => key.thumbprint().map(|kid| kid + "\n"),
    };
    print(&public.unwrap_or_default())
}
