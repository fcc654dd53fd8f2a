//! Teams: each has rooms of its own, made of its fragment. They come, change and go while the process runs, and a fragment
//! with mistakes stops its own team alone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cautions;
use super::rooms::{Part, Rooms, With};
use crate::config::{self, Browser, ConfigError, Environment, Fragment, TeamGrant};
use crate::definition::Mistake;
use crate::identity;
use crate::inbound::{AppState, TeamFront, TeamFronts, TeamRow};
use crate::lifecycle::Lifecycle;
use crate::metrics::Gauge;
use crate::outbound::{Hosts, Services};
use crate::pacing::Intake;
use crate::provider::{Definitions, Wanted};
use crate::secrets::{Reload, fence, read_text};
use crate::session::Sessions;

/// Mistakes of one file that the log tells at most.
const MOST_TOLD: usize = 16;

/// The teams of a configuration.
#[derive(Debug)]
pub(super) struct Teams {
    definitions: Definitions,
    teams: Vec<Team>,
}

/// One team: what it is granted, and what it is now.
#[derive(Debug)]
struct Team {
    name: String,
    grant: TeamGrant,
    /// The file of its fragment.
    file: PathBuf,
    services: Services,
    up: Gauge,
    /// Of all fragments of the team, one after the other.
    intake: Arc<Intake>,
    drawn: Mutex<Drawn>,
}

/// What was made of a fragment at the last look.
#[derive(Debug, Default)]
struct Drawn {
    /// The text that the rooms are made of, once there were some.
    text: Option<String>,
    /// Drawn, and not served yet.
    rooms: Option<Rooms>,
    /// What is wrong with the file now.
    mistakes: Vec<ConfigError>,
    served: Option<Served>,
}

/// Rooms that serve.
#[derive(Debug)]
struct Served {
    sessions: Arc<Sessions>,
    reloads: Vec<Arc<dyn Reload>>,
    lifecycle: Lifecycle,
}

impl Teams {
    /// Reads and compiles the fragments. What is wrong with one of them is no mistake of the platform.
    pub(super) fn draw(
        config: &config::Teams,
        definitions: Definitions,
        services: &Services,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut teams = Vec::new();
        for (name, grant) in &config.grants {
            // Before anything of the team is read.
            grant.secrets.iter().for_each(|folder| fence(folder));
            let hosts = Hosts { names: grant.provider_names.clone(), addresses: grant.provider_addresses.clone() };
            let fault = |mistake: Mistake| ConfigError::at("sidemint", mistake);
            let metrics = services.metrics.team(name).map_err(|error| fault(error.to_string().into()));
            let outbound = services.outbound.within(hosts).map_err(fault);
            match (metrics, outbound) {
                (Ok(metrics), Ok(outbound)) => teams.push(Team {
                    name: name.clone(),
                    grant: grant.clone(),
                    file: config.file(name),
                    services: Services { outbound, clock: Arc::clone(&services.clock), metrics },
                    up: services.metrics.process.team_up(name),
                    intake: Arc::new(Intake::new(grant.requests, grant.in_flight, Arc::clone(&services.clock))),
                    drawn: Mutex::default(),
                }),
                (metrics, outbound) => errors.extend(metrics.err().into_iter().chain(outbound.err())),
            }
        }
        let own = Self { definitions, teams };
        own.teams.iter().for_each(|team| team.look(&own.definitions, &mut team.drawn.lock()));
        own
    }

    /// What is wrong with the fragments.
    pub(super) fn mistakes(&self) -> Vec<ConfigError> {
        self.teams.iter().flat_map(|team| team.drawn.lock().mistakes.clone()).collect()
    }

    /// Name, hosts and routes of each team, for people.
    pub(super) fn describe(&self) -> Vec<String> {
        let about = |team: &Team| {
            let hosts = team.grant.hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let drawn = team.drawn.lock();
            let routes = drawn.rooms.as_ref().map(|rooms| format!("{} routes", rooms.plans.len()));
            format!("{}: {hosts}, {}", team.name, routes.as_deref().unwrap_or("unavailable"))
        };
        self.teams.iter().map(about).collect()
    }

    /// Calls to providers that all teams may have under way at once, whatever their files will say.
    pub(super) fn calls_at_once(&self) -> usize {
        self.teams.iter().map(|team| team.grant.in_flight).sum()
    }

    /// Serves every team on `fronts`, in the manner of `platform`, until `lifecycle` ends.
    pub(super) fn start(self, fronts: &Arc<TeamFronts>, platform: &AppState, lifecycle: &Lifecycle) -> Running {
        let running = Running {
            teams: self,
            fronts: Arc::clone(fronts),
            platform: platform.clone(),
            lifecycle: lifecycle.clone(),
        };
        running.teams.teams.iter().for_each(|team| running.serve(team, &mut team.drawn.lock()));
        running
    }
}

impl Team {
    /// How it is, for people.
    fn row(&self, drawn: &Drawn) -> TeamRow {
        let fresh = drawn.rooms.as_ref().map(|rooms| rooms.plans.len());
        let served = drawn.served.as_ref().map(|served| served.sessions.plans().len());
        TeamRow {
            team: self.name.clone(),
            up: drawn.mistakes.is_empty(),
            mistake: drawn.mistakes.first().map(ToString::to_string),
            routes: fresh.or(served).unwrap_or(0),
        }
    }

    /// Looks at the fragment, and draws it where it is new. What is wrong with it is noted, and told once.
    fn look(&self, definitions: &Definitions, drawn: &mut Drawn) {
        let text = read_text(&self.file, config::Teams::MAX_BYTES);
        let text = text.map_err(|error| vec![ConfigError::at(self.file.display().to_string(), error.to_string())]);
        let outcome = match text {
            // F-18: files that have not changed
            Ok(text) if drawn.text.as_ref() == Some(&text) => return drawn.mistakes.clear(),
            Ok(text) => self.draw(&text, definitions).map(|rooms| (text, rooms)),
            Err(mistakes) => Err(mistakes),
        };
        match outcome {
            Ok((text, rooms)) => {
                drawn.text = Some(text);
                drawn.rooms = Some(rooms);
                drawn.mistakes.clear();
            }
            Err(mistakes) => {
                if drawn.mistakes != mistakes {
                    self.tell(&mistakes);
                }
                drawn.mistakes = mistakes;
            }
        }
    }

    /// Tells the log what is wrong with the file, in bounds: a team writes it (F-19).
    fn tell(&self, mistakes: &[ConfigError]) {
        for mistake in mistakes.iter().take(MOST_TOLD) {
            tracing::error!(team = self.name, "the team's file has a mistake: {mistake}");
        }
        let more = mistakes.len().saturating_sub(MOST_TOLD);
        if more > 0 {
            tracing::error!(
                team = self.name,
                more,
                "the team's file has more mistakes; sidemint check prints all of them"
            );
        }
    }

    fn draw(&self, text: &str, definitions: &Definitions) -> Result<Rooms, Vec<ConfigError>> {
        let fragment = Fragment::read(&self.file, text, &self.grant)?;
        let Fragment { identity, routes, providers, limits, cache } = &fragment;
        let mut errors = Vec::new();
        let sources = identity::Sources::configure(identity, routes, &self.services).map(Arc::new);
        let sources = sources.map_err(|mistakes| errors.extend(mistakes)).ok();
        let part = Part {
            roles: &identity.roles,
            routes,
            providers,
            wanted: &|_| Wanted { sessions: true, gateway: false },
            limits: (*cache, *limits),
        };
        // F-15: no variable of the process
        let with = With { environment: &Environment::default(), definitions, services: &self.services };
        let rooms = Rooms::draw(&part, sources.unwrap_or_default(), &with, &mut errors);
        // What the fragment names was looked at before it was read. This holds for keys that a file may get one day.
        let is_own = |path: &PathBuf| self.grant.secrets.as_ref().is_some_and(|folder| path.starts_with(folder));
        // The files of the rooms (F-15).
        if let Some(path) = rooms.files().iter().find(|path| !is_own(path)) {
            let problem = format!("names {}, which is not below the team's folder of secrets", path.display());
            errors.push(ConfigError::at(self.file.display().to_string(), problem));
        }
        if errors.is_empty() { Ok(rooms) } else { Err(errors) }
    }
}

/// The teams, served.
#[derive(Debug)]
pub(super) struct Running {
    teams: Teams,
    fronts: Arc<TeamFronts>,
    platform: AppState,
    lifecycle: Lifecycle,
}

impl Running {
    /// Puts what was drawn in the place of what was served. Without anything drawn the last good rooms stay.
    fn serve(&self, team: &Team, drawn: &mut Drawn) {
        team.up.set(i64::from(drawn.mistakes.is_empty()));
        self.fronts.tell(team.row(drawn));
        let (hosts, platform) = (&team.grant.hosts, &self.platform);
        let state = |rooms: &Rooms, lifecycle: &Lifecycle| AppState {
            sources: Arc::clone(&rooms.sources),
            // F-18: sessions of the team
            sessions: rooms.sessions(None, lifecycle),
            // F-16: keys of the team
            providers: rooms.providers.values().cloned().collect(),
            gateways: Vec::new(),
            tls: Vec::new(),
            metrics: Arc::clone(&team.services.metrics),
            log: platform.log.for_team(&team.name),
            // Every request here asked for one of them.
            browser: Browser { allow_origins: BTreeSet::new(), allow_hosts: hosts.clone(), ..platform.browser.clone() },
            queue: None,
            deliveries: Vec::new(),
            teams: None,
            intake: Some(Arc::clone(&team.intake)),
            body: platform.body,
        };
        let Some(rooms) = drawn.rooms.take() else {
            // F-16: hosts of a broken team
            if drawn.served.is_none() {
                let nothing = AppState {
                    metrics: Arc::clone(&team.services.metrics),
                    log: platform.log.for_team(&team.name),
                    ..platform.clone()
                };
                self.fronts.set(hosts, TeamFront::unavailable(&nothing));
            }
            return;
        };
        let lifecycle = self.lifecycle.below();
        let state = state(&rooms, &lifecycle);
        rooms.providers.values().for_each(|provider| cautions::warn_of(provider));
        lifecycle.spawn(Arc::clone(&state.sessions).run_renewals());
        rooms.sources.start(&lifecycle);
        let (reloads, sessions) = (rooms.reloads(&state.sessions), Arc::clone(&state.sessions));
        drawn.served.iter().for_each(|before| sessions.follow(&before.sessions));
        self.fronts.set(hosts, TeamFront::served(state, lifecycle.clone()));
        tracing::info!(team = team.name, routes = rooms.plans.len(), "the team is served");
        if let Some(before) = drawn.served.replace(Served { sessions, reloads, lifecycle }) {
            before.lifecycle.draining().cancel();
        }
    }
}

impl Reload for Running {
    fn files(&self) -> Vec<PathBuf> {
        let of_team = |team: &Team| {
            let drawn = team.drawn.lock();
            let files = drawn.served.iter().flat_map(|served| served.reloads.iter().flat_map(|own| own.files()));
            // What a file will name later is in the team's folder, which is watched where any name in it is.
            let folder = team.grant.secrets.iter().map(|folder| folder.join("any"));
            files.chain([team.file.clone()]).chain(folder).collect::<Vec<_>>()
        };
        self.teams.teams.iter().flat_map(of_team).collect()
    }

    fn reload(&self) {
        for team in &self.teams.teams {
            let mut drawn = team.drawn.lock();
            team.look(&self.teams.definitions, &mut drawn);
            self.serve(team, &mut drawn);
            let reloads = drawn.served.as_ref().map(|served| served.reloads.clone());
            drop(drawn);
            reloads.iter().flatten().for_each(|own| own.reload());
        }
    }
}
