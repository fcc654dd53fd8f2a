//! `sidemint init`: a configuration to begin with, for a chat provider and for what tells the user.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize as _;
use serde_json::Value;

use super::presets::no_preset;
use super::{Failure, NoConfiguration, print};
use crate::config::{ConfigErrors, Sources};
use crate::definition::{Setting, SettingKind, required};
use crate::identity;
use crate::provider::{Definition, Definitions};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The chat provider; `sidemint presets` lists them
    #[arg(long, default_value = "local")]
    preset: String,
    /// What tells the user; `sidemint presets` lists the identity sources
    #[arg(long, default_value = "plain")]
    upstream: String,
    /// The new file; one that is there is never replaced. «-» is standard output
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    out: PathBuf,
    #[command(flatten)]
    _unread: NoConfiguration,
}

pub(super) fn run(options: &Options, sources: &Sources) -> Result<(), Failure> {
    let (definitions, mistakes) = Definitions::read(sources.definitions.as_deref());
    if !mistakes.is_empty() {
        return Err(Failure::Usage(ConfigErrors(mistakes).to_string()));
    }
    let draft = Draft::of(&options.preset, &options.upstream, &definitions)?;
    if options.out == Path::new("-") {
        return print(&draft.text);
    }
    let out = options.out.display();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Running(format!("{out}: is there already; name another file with --out")),
        _ => Failure::Running(format!("{out}: {error}")),
    };
    let mut file = File::create_new(&options.out).map_err(failed)?;
    file.write_all(draft.text.as_bytes()).map_err(failed)?;
    let mut said = format!("{out} is new\n");
    for key in &draft.required {
        said.extend(["fill in ", key, "\n"]);
    }
    print(&format!("{said}then: sidemint check --config {out}\n"))
}

/// A configuration that begins with what this provider and this source need.
struct Draft {
    text: String,
    /// Keys without a value that could be guessed.
    required: Vec<String>,
}

impl Draft {
    fn of(preset: &str, upstream: &str, definitions: &Definitions) -> Result<Self, Failure> {
        let (definition, _) =
            definitions.get(preset).map_err(|mistake| Failure::Usage(format!("--preset: {mistake}")))?;
        if definition.token.is_none() {
            let problem = format!("--preset: \"{preset}\" makes no tokens, so there are no sessions to serve");
            return Err(Failure::Usage(problem));
        }
        let settings = identity::settings(upstream).ok_or_else(|| {
            Failure::Usage(format!("--upstream: {}", no_preset(upstream, identity::PRESETS.iter().copied())))
        })?;
        let mut draft = Self { text: begin(preset, upstream), required: Vec::new() };
        draft.source(upstream, &settings);
        draft.text.push_str(SESSION_ROUTE);
        if !identity::reads_bodies(upstream) {
            draft.text.push_str(SUBREQUEST_ROUTE);
        }
        draft.provider(preset, &definition);
        Ok(draft)
    }

    /// The settings of the source, where it has any.
    fn source(&mut self, upstream: &str, settings: &BTreeMap<String, Setting>) {
        if !settings.is_empty() {
            let table = format!("identity.sources.{upstream}");
            self.text.extend(["\n# Settings of the source.\n[", &table, "]\n"]);
            self.settings(&table, settings);
        }
    }

    fn provider(&mut self, preset: &str, definition: &Definition) {
        self.text.extend(["\n# ", &definition.summary, ".\n"]);
        if let Some(address) = &definition.documentation {
            self.text.extend(["# ", address, "\n"]);
        }
        self.text.extend(["[providers.chat]\npreset = \"", preset, "\"\n"]);
        self.settings("providers.chat", &definition.settings);
    }

    /// Each setting with what it is for: first those without which nothing is served, then the others as they are without
    /// a word.
    fn settings(&mut self, table: &str, settings: &BTreeMap<String, Setting>) {
        let required = required(settings.iter());
        let own = settings.iter().filter(|(_, setting)| setting.part_of.is_none());
        let (needed, others): (Vec<_>, Vec<_>) = own.partition(|(name, _)| required.contains(name.as_str()));
        for (name, setting) in needed {
            let key = written_key(name, setting);
            self.required.push(format!("{table}.{key}"));
            self.setting("Required. ", name, setting);
        }
        for (name, setting) in others {
            self.setting("", name, setting);
        }
    }

    fn setting(&mut self, need: &str, name: &str, setting: &Setting) {
        let variable = match (&setting.env, setting.secret) {
            (Some(env), true) => format!(" Or {env}, or {env}_FILE, in the environment."),
            (Some(env), false) => format!(" Or {env} in the environment."),
            (None, _) => String::new(),
        };
        let about = setting.about.trim_end_matches('.');
        let mut first = about.chars();
        let about =
            first.next().map_or_else(String::new, |first_letter| first_letter.to_uppercase().chain(first).collect());
        let key = written_key(name, setting);
        let value = setting.default.as_ref().and_then(in_toml).unwrap_or_else(|| example(name, setting));
        for line in wrapped(&format!("{need}{about}.{variable}")) {
            self.text.extend(["# ", &line, "\n"]);
        }
        self.text.extend(["# ", &key, " = ", &value, "\n"]);
    }
}

/// A secret stands in a file of its own.
fn written_key(name: &str, setting: &Setting) -> String {
    if setting.secret { format!("{name}_file") } else { name.to_owned() }
}

/// A value in one line.
fn in_toml(value: &Value) -> Option<String> {
    let mut text = String::new();
    value.serialize(toml::ser::ValueSerializer::new(&mut text)).ok()?;
    Some(text)
}

/// The form of a value that only the operator knows.
fn example(name: &str, setting: &Setting) -> String {
    if setting.secret {
        return format!("\"/run/secrets/{name}\"");
    }
    match (setting.one_of.first(), setting.kind) {
        (Some(first), _) => format!("\"{first}\""),
        (None, SettingKind::Url) => "\"https://…\"".to_owned(),
        (None, SettingKind::Flag) => "true".to_owned(),
        (None, SettingKind::Number) => "1".to_owned(),
        (None, SettingKind::Table) => "{}".to_owned(),
        (None, SettingKind::List) => "[\"…\"]".to_owned(),
        (None, SettingKind::Text | SettingKind::Template) => "\"…\"".to_owned(),
    }
}

/// Lines of a comment.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 118;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Everything up to the settings of the source.
fn begin(preset: &str, upstream: &str) -> String {
    let own = identity::PRESETS.iter().find(|(name, _)| *name == upstream);
    let summary = own.map_or_else(String::new, |(_, text)| identity::summary(text));
    format!(
        "# sidemint init --preset {preset} --upstream {upstream}
#
# Fill in what is required below, and make its secret files. `sidemint check` says what is missing, `sidemint mint --user
# alice` makes a session, and `sidemint serve` serves. The file config.toml of sidemint explains every key.

[server]
# Where the reverse proxy, or the application, asks.
listen = \"127.0.0.1:8080\"

[ops]
# Liveness, readiness and metrics. Never behind the public proxy.
listen = \"127.0.0.1:9090\"

[identity]
# {summary}.
source = \"{upstream}\"

[identity.peers]
# Who may name a user. Any client can write a header, so these are the addresses of the proxy, and of nothing else.
networks = [\"127.0.0.0/8\", \"::1/128\"]
"
    )
}

const SESSION_ROUTE: &str = "
# The session as JSON, for pages and apps.
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
";

const SUBREQUEST_ROUTE: &str = "
# The session as headers, for a reverse proxy that asks before each request.
[[routes]]
path = \"/auth\"
answer = \"subrequest\"
provider = \"chat\"
";
