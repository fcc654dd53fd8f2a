//! `sidemint keygen`: a new signing key.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Failure, print};
use crate::provider::{Alg, SigningKey, generate};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Algorithm
    #[arg(long, value_enum, default_value = "EdDSA")]
    alg: Choice,
    /// New file for the private key, mode 0600; the public half is then printed. An existing file is never replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    #[value(name = "EdDSA")]
    EdDsa,
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "HS256")]
    Hs256,
}

impl From<Choice> for Alg {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::EdDsa => Self::EdDsa,
            Choice::Rs256 => Self::Rs256,
            Choice::Es256 => Self::Es256,
            Choice::Hs256 => Self::Hs256,
        }
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Running(format!("no key: {error}"));
    let alg = Alg::from(options.alg);
    let secret = generate(alg).map_err(|error| failed(&error))?;
    let Some(path) = &options.out else {
        print(&format!("{}\n", String::from_utf8_lossy(secret.expose()).trim_end()));
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    file.write_all(secret.expose()).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
    let key = SigningKey::read(alg, &secret).map_err(|error| failed(&error))?;
    if let Some(jwk) = key.thumbprint().and_then(|kid| key.jwk(&kid)) {
        print(&format!("{jwk}\n"));
    }
    Ok(())
}
