//! A service with teams: the platform beside «shop» and «bank», each with its file, its secrets and its caller.

use std::path::PathBuf;
use std::sync::Arc;

use sidemint::app::Blueprint;
use sidemint::config::{ConfigErrors, Environment};

use crate::client::Answer;
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};

pub const SHOP: &str = "chat.shop.example";
pub const BANK: &str = "chat.bank.example";

/// The folders of the teams' files and secrets.
pub struct Folders(tempfile::TempDir);

impl Folders {
    /// Those of both teams, with the secret of each one's caller and the key of each one's provider. No team has a file yet.
    pub fn new() -> Self {
        let folders = Self(tempfile::tempdir().unwrap());
        for team in ["shop", "bank"] {
            std::fs::create_dir_all(folders.secret(team, "")).unwrap();
            std::fs::write(folders.secret(team, "caller"), secret_of(team)).unwrap();
            std::fs::write(folders.secret(team, "api_key"), API_KEY).unwrap();
        }
        std::fs::create_dir(folders.0.path().join("teams")).unwrap();
        folders
    }

    /// A file of this team's secrets.
    pub fn secret(&self, team: &str, file: &str) -> PathBuf {
        self.0.path().join("secrets").join(team).join(file)
    }

    /// Writes the team's file, as a whole.
    pub fn write(&self, team: &str, text: &str) {
        let file = self.0.path().join("teams").join(format!("{team}.toml"));
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    pub fn remove(&self, team: &str) {
        std::fs::remove_file(self.0.path().join("teams").join(format!("{team}.toml"))).unwrap();
    }

    /// The platform's configuration, with `more` keys.
    pub fn platform(&self, more: &[(&str, &str)]) -> String {
        let quoted = |path: PathBuf| format!("\"{}\"", path.display());
        let (teams, shop, bank) =
            (quoted(self.0.path().join("teams")), quoted(self.secret("shop", "")), quoted(self.secret("bank", "")));
        let (shop_hosts, bank_hosts) = (format!("[\"{SHOP}\"]"), format!("[\"{BANK}\", \"bank.example\"]"));
        let mut all = vec![
            ("teams_dir", teams.as_str()),
            ("teams.shop.hosts", shop_hosts.as_str()),
            ("teams.shop.secrets", shop.as_str()),
            ("teams.shop.provider_hosts", "[\"127.0.0.1\"]"),
            ("teams.bank.hosts", bank_hosts.as_str()),
            ("teams.bank.secrets", bank.as_str()),
            ("teams.bank.provider_hosts", "[\"127.0.0.1\"]"),
        ];
        all.extend(more);
        config(LOCAL, &all)
    }

    /// The blueprint of the platform's configuration.
    pub fn draw(&self, more: &[(&str, &str)]) -> Result<Blueprint, ConfigErrors> {
        draw(&self.platform(more), &Environment::default(), clock())
    }

    /// What is wrong with the file of shop where it has this text.
    pub fn mistakes(&self, text: &str) -> String {
        self.write("shop", text);
        let blueprint = self.draw(&[]).unwrap_or_else(|errors| panic!("the platform's mistake:\n{errors}"));
        let mistakes = blueprint.mistakes_of_teams();
        mistakes
            .iter()
            .map(ToString::to_string)
            .filter(|text| !text.contains("bank.toml"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// What the caller of this team shows.
pub fn secret_of(team: &str) -> String {
    format!("CANARYteam-{team}-0123456789abcdef")
}

/// The file of a team with this provider.
fn file(provider: &str) -> String {
    format!(
        "
[identity]
source = \"plain\"
[identity.callers.web]
secret_files = [\"caller\"]
[limits]
user_rate = \"none\"
[[routes]]
path = \"{SESSION}\"
answer = \"session\"
provider = \"chat\"
[[routes]]
path = \"/guard\"
answer = \"subrequest\"
provider = \"chat\"
[providers.chat]
{provider}
"
    )
}

/// The file of a team that signs its own tokens.
pub fn local(team: &str) -> String {
    file(&format!(
        "preset = \"local\"
public_api_url = \"https://{team}.example/v1\"
issuer = \"{team}\"
audience = \"chat\""
    ))
}

/// The file of a team that calls this provider.
pub fn calling(base_url: &str) -> String {
    file(&format!(
        "preset = \"sendsar\"
api_url = \"{base_url}\"
public_api_url = \"https://api.sendsar.com/v1\"
api_key_file = \"api_key\"
retries = 0"
    ))
}

/// A running service with both teams.
pub struct World {
    pub service: Service,
    pub folders: Folders,
}

impl World {
    /// Both teams with these files.
    pub async fn start(shop: &str, bank: &str, more: &[(&str, &str)]) -> Self {
        let folders = Folders::new();
        folders.write("shop", shop);
        folders.write("bank", bank);
        let service = Service::start(&folders.platform(more), &Environment::default(), clock()).await;
        Self { service, folders }
    }

    /// Both teams, each with tokens of its own.
    pub async fn local() -> Self {
        Self::start(&local("shop"), &local("bank"), &[]).await
    }

    /// Both teams at one provider, with time in hand.
    pub async fn sendsar(more: &[(&str, &str)]) -> (Self, Sendsar) {
        let clock = clock();
        let fake = Sendsar::start(Arc::clone(&clock)).await;
        let folders = Folders::new();
        folders.write("shop", &calling(&fake.base_url()));
        folders.write("bank", &calling(&fake.base_url()));
        let service = Service::start(&folders.platform(more), &Environment::default(), clock).await;
        (Self { service, folders }, fake)
    }

    /// What the caller of `team` is answered at `host`.
    pub async fn ask(&self, (method, path): (&str, &str), host: &str, team: &str, user: &str) -> Answer {
        let secret = secret_of(team);
        let headers = [("Host", host), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", user)];
        self.service.ask(method, path, &headers).await
    }

    /// The same for a session on the team's own host.
    pub async fn session(&self, team: &str, user: &str) -> Answer {
        self.ask(("GET", SESSION), if team == "shop" { SHOP } else { BANK }, team, user).await
    }

    pub async fn up(&self, team: &str) -> f64 {
        self.service.metric(&format!("sidemint_team_up{{team=\"{team}\"}}")).await
    }
}
