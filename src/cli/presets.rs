//! `sidemint presets`: the definitions that ship with the binary.

use clap::Args;

use super::{Failure, NoConfiguration, print};
use crate::config::{ConfigErrors, Sources, did_you_mean};
use crate::identity;
use crate::provider::{Definition, Definitions};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print this one, ready to copy
    name: Option<String>,
    #[command(flatten)]
    _unread: NoConfiguration,
}

pub(super) fn run(options: &Options, sources: &Sources) -> Result<(), Failure> {
    let (definitions, mistakes) = Definitions::read(sources.definitions.as_deref());
    if !mistakes.is_empty() {
        return Err(Failure::Usage(ConfigErrors(mistakes).to_string()));
    }
    let all = || definitions.texts().chain(identity::PRESETS.iter().copied());
    if let Some(wanted) = &options.name {
        let Some((_, text)) = all().find(|(name, _)| name == wanted) else {
            return Err(Failure::Usage(no_preset(wanted, all())));
        };
        return print(text);
    }
    let longest = all().map(|(name, _)| name.len()).max().unwrap_or_default();
    print("providers (preset = …)\n")?;
    for (name, text) in definitions.texts() {
        let summary = Definition::parse(text).map(|definition| definition.summary).unwrap_or_default();
        print(&format!("  {name:<longest$}  {summary}\n"))?;
    }
    print("identity sources (identity.source = …)\n")?;
    for (name, text) in identity::PRESETS {
        print(&format!("  {name:<longest$}  {}\n", identity::summary(text)))?;
    }
    Ok(())
}

/// Why there is no preset of this name among these.
pub(super) fn no_preset<'a>(wanted: &str, all: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let known: Vec<_> = all.map(|(name, _)| name).collect();
    format!("no preset \"{wanted}\"; there are {}{}", known.join(", "), did_you_mean(wanted, &known))
}
