//! Teams that share the process: what the platform grants each of them, and the fragment in which a team says what it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use figment::value::{Dict, Value};

use super::check::Check;
use super::layers::{Layers, parse, short};
use super::{Cache, ConfigError, Identity, Provider, Route, UserLimits};
use crate::definition::{Key, did_you_mean};
use crate::pacing::Rate;

/// Top-level tables of a fragment. Everything else is the platform's.
const SECTIONS: [&str; 4] = ["identity", "limits", "providers", "routes"];

/// Sources of identity in a fragment at most.
const MAX_SOURCES: usize = 64;

/// Teams that share the process.
#[derive(Clone, Debug)]
pub struct Teams {
    /// The folder of the fragments: `NAME.toml` for each team.
    pub dir: PathBuf,
    /// By the name of the team.
    pub grants: BTreeMap<String, TeamGrant>,
}

/// What the platform grants a team.
#[derive(Clone, Debug)]
pub struct TeamGrant {
    /// The hosts that are the team's alone, lower case without port.
    pub hosts: BTreeSet<String>,
    /// The folder of the team's secrets. No file of the fragment lies elsewhere.
    pub secrets: Option<PathBuf>,
    /// Names of hosts that the team's providers and key sets may be at. They must lead to public addresses.
    pub provider_names: BTreeSet<String>,
    /// Addresses that they may be at, private ones too.
    pub provider_addresses: BTreeSet<IpAddr>,
    /// Requests of its users at most, cached or not; no limit if there is none.
    pub requests: Option<Rate>,
    /// Mints and sign-outs under way at most, and calls to the team's providers.
    pub in_flight: usize,
    /// Bytes of the team's session cache at most.
    pub max_bytes: u64,
    /// Providers at most.
    pub max_providers: usize,
    /// Routes at most.
    pub max_routes: usize,
}

/// What a team serves, checked against its grant.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Who tells the user, and who may.
    pub identity: Identity,
    /// What is served on the hosts of the team.
    pub routes: Vec<Route>,
    /// Providers by name.
    pub providers: BTreeMap<String, Provider>,
    /// What one user may ask.
    pub limits: UserLimits,
    /// Limits of the session cache.
    pub cache: Cache,
}

impl Teams {
    /// Bytes of a fragment at most.
    pub const MAX_BYTES: u64 = 1024 * 1024; // F-19: size of a fragment

    /// The file of this team's fragment.
    pub fn file(&self, team: &str) -> PathBuf {
        self.dir.join(format!("{team}.toml"))
    }
}

impl Fragment {
    /// Checks the `text` of the fragment at `path`. It takes nothing from the environment, and all its files lie below the
    /// folder of the grant. All mistakes that can be found in one pass are in the error.
    pub fn read(path: &Path, text: &str, grant: &TeamGrant) -> Result<Self, Vec<ConfigError>> {
        let origin = short(path);
        let mut content = parse(text).map_err(|mistake| vec![ConfigError::at(&origin, mistake)])?;
        let mut draft = Draft { origin, grant, errors: Vec::new() };
        draft.sections(&content);
        draft.caps(&content);
        for (name, value) in &mut content {
            draft.files(&Key::of(name), name, value);
        }
        if !draft.errors.is_empty() {
            return Err(draft.errors);
        }
        let layers = Layers::of(path.to_owned(), content);
        let mut errors = Vec::new();
        let fragment = Check { layers: &layers, errors: &mut errors }.fragment(grant);
        if errors.is_empty() { Ok(fragment) } else { Err(errors) }
    }
}

/// One look at a fragment before anything is made of it.
struct Draft<'g> {
    origin: String,
    grant: &'g TeamGrant,
    errors: Vec<ConfigError>,
}

impl Draft<'_> {
    fn refuse(&mut self, key: impl Into<Key>, problem: impl Into<String>) {
        self.errors.push(ConfigError::new(self.origin.clone(), key, problem));
    }

    /// Refuses what is the platform's to say.
    fn sections(&mut self, content: &Dict) {
        for name in content.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let meant = did_you_mean(name, SECTIONS);
            let problem = format!("is no section of a team's file; those are {}{meant}", SECTIONS.join(", "));
            self.refuse(Key::of(name), problem);
        }
        let identity = content.get("identity").and_then(Value::as_dict);
        // F-16: peers of the platform
        if identity.is_some_and(|identity| identity.contains_key("peers")) {
            self.refuse("identity.peers", "is the platform's; name who asks for this team in [identity.callers.NAME]");
        }
        let callers = identity.and_then(|identity| identity.get("callers")).and_then(Value::as_dict);
        for (name, caller) in callers.into_iter().flatten() {
            if caller.as_dict().is_some_and(|caller| caller.contains_key("certificates")) {
                let problem =
                    "cannot be used by a team; prove the caller by networks, hmac_key_files, secret_files or token";
                self.refuse(Key::from("identity.callers").below(name).below("certificates"), problem);
            }
        }
    }

    /// Refuses more than the grant allows, before anything is compiled.
    fn caps(&mut self, content: &Dict) {
        let providers = content.get("providers").and_then(Value::as_dict).map_or(0, Dict::len);
        let routes = content.get("routes").and_then(Value::as_array).map_or(0, <[Value]>::len);
        let sources = content.get("identity").and_then(Value::as_dict).and_then(|identity| identity.get("sources"));
        let sources = sources.and_then(Value::as_dict).map_or(0, Dict::len);
        // F-19: sources of a fragment
        if sources > MAX_SOURCES {
            self.refuse("identity.sources", format!("holds {sources}, and a team has {MAX_SOURCES} at most"));
        }
        for (key, count, most) in
            [("providers", providers, self.grant.max_providers), ("routes", routes, self.grant.max_routes)]
        {
            // F-19: caps of a fragment
            if count > most {
                self.refuse(key, format!("holds {count}, and the grant allows {most} (max_{key})"));
            }
        }
    }

    /// Every file that is named lies below the folder of the grant; what leads out of it when it is opened is refused there.
    fn files(&mut self, key: &Key, name: &str, value: &mut Value) {
        match value {
            Value::Dict(_, table) => {
                for (name, value) in table {
                    self.files(&key.below(name), name, value);
                }
            }
            Value::Array(_, list) => {
                for (n, value) in list.iter_mut().enumerate() {
                    self.files(&key.item(n), name, value);
                }
            }
            Value::String(_, text) if is_path(key, name) => match self.below(text) {
                Ok(path) => *text = path,
                Err(problem) => self.refuse(key.clone(), problem),
            },
            _ => {}
        }
    }

    fn below(&self, text: &str) -> Result<String, String> {
        let Some(folder) = &self.grant.secrets else {
            return Err("names a file, and the grant has no folder of secrets".to_owned());
        };
        let path = Path::new(text);
        let rest = if path.is_absolute() { path.strip_prefix(folder).ok() } else { Some(path) };
        // F-15: files of the team
        let rest = rest.filter(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))));
        // What is not a path may be the secret itself, so it is not shown.
        let path = rest.filter(|rest| *rest != Path::new("")).map(|rest| folder.join(rest));
        path.map(|path| path.display().to_string()).ok_or_else(|| {
            format!("names no file below {}; write its path from there, without \"..\"", folder.display())
        })
    }
}

/// Whether the text at `key` names a file or a folder.
fn is_path(key: &Key, name: &str) -> bool {
    let ends = ["_file", "_files", "_dir"];
    ends.iter().any(|end| name.ends_with(end)) || name == "file" && key.to_string().ends_with("keys.file")
}

/// The fuzz target of fragments.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::*;

    /// A team's file is refused with mistakes, or all that it names is the team's own and within its caps.
    pub(crate) fn fragment(bytes: &[u8]) {
        let folder = Path::new("/run/secrets/teams/shop");
        let grant = TeamGrant {
            hosts: BTreeSet::from(["chat.shop.example".to_owned()]),
            secrets: Some(folder.to_owned()),
            provider_names: BTreeSet::new(),
            provider_addresses: BTreeSet::new(),
            requests: None,
            in_flight: 1,
            max_bytes: 1,
            max_providers: 2,
            max_routes: 2,
        };
        let read = Fragment::read(Path::new("shop.toml"), &String::from_utf8_lossy(bytes), &grant);
        let fragment = match read {
            Ok(fragment) => fragment,
            Err(mistakes) => return assert!(!mistakes.is_empty(), "a reason"),
        };
        assert!(fragment.routes.len() <= 2 && fragment.providers.len() <= 2, "caps");
        assert!(fragment.routes.iter().filter_map(|route| route.host.as_ref()).all(|host| grant.hosts.contains(host)));
        assert!(fragment.identity.peers.is_empty(), "peers of the platform");
        let callers = fragment.identity.callers.values();
        let mut files: Vec<PathBuf> =
            callers.flat_map(|own| own.proof.secret_files.iter().chain(&own.proof.hmac_key_files)).cloned().collect();
        files.extend(fragment.identity.users.deny_file);
        let settings = fragment.providers.values().flat_map(|own| &own.settings);
        let named = settings.filter(|(name, _)| name.ends_with("_file") || name.ends_with("_dir"));
        files.extend(named.filter_map(|(_, value)| value.as_str()).map(PathBuf::from));
        for file in files {
            let rest = file.strip_prefix(folder).unwrap_or(Path::new(".."));
            assert!(rest.components().all(|part| matches!(part, Component::Normal(_))), "{}", file.display());
        }
    }
}
