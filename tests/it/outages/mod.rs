//! sidemint stalled, stopped, killed and started again under load, behind every real proxy: no user gets what is another
//! user's, the application is never reached unguarded, and all goes on by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::fakes::app::{App, Request};
use crate::fakes::login::Login;
use crate::fakes::sendsar::subject_of;
use crate::harness::LOCAL;
use crate::parts::proxies::{self, MEMBERS, Proxy, Recipe, Upstreams};
use crate::parts::sidemint::Program;
use crate::proxies::{SET, has_chat_header};

use crowd::{Crowd, PACE, Seen, Who};

mod crowd;
pub mod idle;
mod provider;
mod rolling;

/// When sidemint is to end, each answer is the last one of its connection for so long: then none is left on which a
/// request could be lost.
const DELAY: (&str, &str) = ("server.drain_delay", "\"1s\"");
const DELAY_TIME: Duration = Duration::from_secs(1);

/// What the page of a proxy says of it while sidemint does not answer. What the application gets while nothing listens is
/// in the recipe.
struct Case {
    recipe: &'static Recipe,
    /// The application, while connections are taken and never answered; `None`: the client waits.
    stalled: Option<u16>,
    /// The session route, while nothing listens. While it is stalled, the page waits.
    page_down: u16,
    /// The session route, where a connection broke with the request on its way.
    page_cut: u16,
    /// Whether the proxy may then close the client's connection instead, so that the client asks again by itself.
    closes: bool,
}

/// What may be seen in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    /// Connections are taken, and there is no answer.
    Stalled,
    /// What was stalled is answered, late or not at all.
    Waking,
    /// All is well until nothing listens any more; what is in flight then is finished.
    Ending,
    /// From one moment to the next nothing listens, and what is in flight is cut.
    Breaking,
    Down,
    /// sidemint listens again, and the proxy has to find out.
    Healing,
}

/// Everything that stands around a proxy.
struct Stage {
    case: &'static Case,
    program: Program,
    app: App,
    crowd: Crowd,
    phases: Vec<State>,
    /// So many of the answers were there while sidemint still listened.
    listened: usize,
    _login: Login,
}

static NGINX: Case = Case { recipe: &proxies::NGINX, stalled: Some(500), page_down: 502, page_cut: 502, closes: false };
static CADDY: Case = Case { recipe: &proxies::CADDY, stalled: Some(504), page_down: 502, page_cut: 502, closes: false };
static HAPROXY: Case =
    Case { recipe: &proxies::HAPROXY, stalled: Some(503), page_down: 503, page_cut: 502, closes: true };
static TRAEFIK: Case = Case { recipe: &proxies::TRAEFIK, stalled: None, page_down: 502, page_cut: 502, closes: false };
static ENVOY: Case = Case { recipe: &proxies::ENVOY, stalled: Some(503), page_down: 503, page_cut: 503, closes: false };
static APACHE: Case = Case { recipe: &proxies::APACHE, stalled: None, page_down: 503, page_cut: 502, closes: true };

impl Case {
    /// The rows of the page's table.
    fn rows(&self) -> [String; 3] {
        let application = self.recipe.application;
        let down = application.map_or("as ever".to_owned(), |application| application.outage.to_string());
        let waits = if application.is_some() { "waits" } else { "as ever" };
        let stalled = self.stalled.map_or(waits.to_owned(), |status| status.to_string());
        let Self { page_down, page_cut, .. } = self;
        let closes = if self.closes { ", or the connection closes" } else { "" };
        [
            format!("\n| is not running | {down} | {page_down} |\n"),
            format!("\n| takes connections and does not answer | {stalled} | waits |\n"),
            format!("\n| is killed with a request under way | {down} | {page_cut}{closes} |\n"),
        ]
    }
}

/// What the tests here allow is what the pages say.
#[test]
fn the_pages_tell_what_is_seen_while_sidemint_is_away() {
    for case in [&NGINX, &CADDY, &HAPROXY, &TRAEFIK, &ENVOY, &APACHE] {
        let (page, name) = (case.recipe.page, case.recipe.name);
        for row in case.rows() {
            assert!(page.contains(&row), "the page of {name} says:{row}");
        }
    }
}

async fn endures(case: &'static Case) {
    let mut stage = Stage::set(case, &[]).await;
    stage.all_users_are_served(2).await;

    stage.enter(State::Waking);
    stage.program.freeze().await;
    stage.enter(State::Stalled);
    stage.all_users_are_served(1).await;
    stage.enter(State::Waking);
    stage.program.signal("CONT");
    stage.all_users_are_served(1).await;
    stage.enter(State::Well);
    stage.all_users_are_served(2).await;

    stage.enter(State::Ending);
    stage.ends().await;
    let (status, log) = stage.program.ended().await;
    assert!(status.success() && log.contains("\"stopped\"") && !log.contains("cut"), "drained, not cut: {log}");
    stage.comes_back().await;

    stage.enter(State::Breaking);
    stage.program.signal("KILL");
    stage.program.ended().await;
    stage.comes_back().await;
}

macro_rules! each_proxy {
    ($($test:ident: $case:ident,)*) => {$(
        /// T-32, T-35 and T-57.
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            endures(&$case).await;
        }
    )*};
}

each_proxy! {
    clients_behind_nginx: NGINX,
    clients_behind_caddy: CADDY,
    clients_behind_haproxy: HAPROXY,
    clients_behind_traefik: TRAEFIK,
    clients_behind_envoy: ENVOY,
    clients_behind_apache: APACHE,
}

impl Stage {
    /// `bend` changes the proxy's documents.
    async fn set(case: &'static Case, bend: &[(&str, &str)]) -> Self {
        let identity = case.recipe.identity();
        let overrides: Vec<(&str, &str)> = identity.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let program = Program::start(LOCAL, &[&overrides[..], &[DELAY]].concat(), &[]).await;
        let (login, app) = (Login::start().await, App::start().await);
        let upstreams = Upstreams { sidemint: program.front, login: login.address, app: app.address };
        let proxy = Arc::new(Proxy::start(case.recipe, &upstreams, bend).await);
        let pages = MEMBERS - 8..MEMBERS;
        let mut all: Vec<Who> = pages.map(Who::Page).chain([Who::Stranger]).collect();
        if case.recipe.application.is_some() {
            all.extend((0..MEMBERS - 8).map(Who::Member).chain([Who::Guest]));
        }
        let application = case.recipe.application.map_or(case.recipe.users, |application| application.users);
        let crowd = Crowd::gather(&proxy, &all, application, case.recipe.users);
        Self { case, program, app, crowd, phases: vec![State::Well], listened: 0, _login: login }
    }

    /// Judges what was seen so far, and begins a phase.
    fn enter(&mut self, state: State) {
        self.judge();
        self.phases.push(state);
        self.crowd.enter(self.phases.len() - 1);
    }

    /// Waits until every client has got so many answers in this phase that belong to it; where all is to be well again,
    /// such answers. Who can only wait is not waited for.
    async fn all_users_are_served(&self, times: usize) {
        let phase = self.phases.len() - 1;
        let state = self.phases[phase];
        let is_good = |who: Who, status: u16| match state {
            State::Waking | State::Healing => status == self.well(who),
            _ => self.expected(who, state).contains(&status),
        };
        let what = format!("{}: clients are answered, {:?} ({phase})", self.case.recipe.name, state);
        let enough = |seen: &[Seen]| {
            let mut answers: BTreeMap<String, (Who, usize)> = BTreeMap::new();
            for Seen { who, got, answer, .. } in seen {
                let (_, count) = answers.entry(format!("{who:?}")).or_insert((*who, 0));
                let good = answer.as_ref().is_some_and(|answer| is_good(*who, answer.status));
                *count += usize::from(*got == phase && good);
            }
            let waits = |who: Who| self.expected(who, state).is_empty();
            answers.len() == self.crowd.size() && answers.values().all(|(who, count)| waits(*who) || *count >= times)
        };
        self.crowd.until(&what, enough).await;
    }

    /// Stops it, and waits until nothing listens any more. While a new connection is taken, the delay has not passed: what
    /// was answered before is as ever.
    async fn ends(&mut self) {
        let since = Instant::now();
        self.program.signal("TERM");
        loop {
            let answers = self.crowd.answers();
            if TcpStream::connect(self.program.front).await.is_err() {
                break;
            }
            self.listened = answers;
            tokio::time::sleep(PACE).await;
        }
        assert!(since.elapsed() >= DELAY_TIME, "{}: it listens for so long", self.case.recipe.name);
    }

    /// From the end of one process to the first answers of the next.
    async fn comes_back(&mut self) {
        self.enter(State::Down);
        self.all_users_are_served(1).await;
        self.enter(State::Healing);
        self.program.start_again().await;
        self.all_users_are_served(1).await;
        self.enter(State::Well);
        self.all_users_are_served(3).await;
        self.judge();
    }

    /// What a client gets when all is well.
    fn well(&self, who: Who) -> u16 {
        match who {
            Who::Member(_) | Who::Page(_) => 200,
            Who::Guest => self.case.recipe.application.expect("it has one").visitor,
            Who::Stranger => 401,
        }
    }

    /// Every status that a client may get in a state; none where it can only wait.
    fn expected(&self, who: Who, state: State) -> Vec<u16> {
        let well = self.well(who);
        let down = match who {
            Who::Page(_) => self.case.page_down,
            Who::Member(_) | Who::Guest if well == 200 => self.case.recipe.application.expect("it has one").outage,
            // sidemint is not asked about them.
            _ => well,
        };
        let cut = if matches!(who, Who::Page(_)) { self.case.page_cut } else { down };
        let stalled = match who {
            Who::Page(_) => None,
            Who::Member(_) | Who::Guest if well == 200 => self.case.stalled,
            _ => Some(well),
        };
        match state {
            State::Well => vec![well],
            State::Stalled => stalled.into_iter().collect(),
            State::Waking => stalled.into_iter().chain([well]).collect(),
            State::Ending | State::Healing => vec![well, down],
            State::Breaking => vec![well, down, cut],
            State::Down => vec![down],
        }
    }

    /// Holds everything that clients and application have seen so far against what the page says.
    fn judge(&self) {
        let name = self.case.recipe.name;
        for (number, seen) in self.crowd.seen().iter().enumerate() {
            let mut phases = self.phases[seen.sent..=seen.got].to_vec();
            if number < self.listened {
                phases.iter_mut().filter(|state| **state == State::Ending).for_each(|state| *state = State::Well);
            }
            let Some(answer) = &seen.answer else {
                let may_close = self.case.closes && phases.contains(&State::Breaking);
                assert!(may_close, "{name}: closed without an answer: {phases:?} {seen:?}");
                continue;
            };
            let allowed: Vec<u16> = phases.iter().flat_map(|state| self.expected(seen.who, *state)).collect();
            assert!(allowed.contains(&answer.status), "{name}: {phases:?} allow {allowed:?}: {seen:?}");
            assert!(!has_chat_header(answer), "{name}: {seen:?}");
            if let (Who::Page(number), 200) = (seen.who, answer.status) {
                let (session, member) = (answer.json(), format!("member{number}"));
                assert_eq!(session["chatUserId"], member, "{name}");
                assert_eq!(subject_of(session["token"].as_str().expect("a token")), member, "{name}");
            }
        }
        for request in self.app.all() {
            self.judge_passed(&request);
        }
    }

    /// A request that reached the application since the phase began: with all that belongs to its user, and only where
    /// sidemint was asked. It may have been sent in an earlier phase, and asked again since.
    fn judge_passed(&self, request: &Request) {
        let name = self.case.recipe.name;
        let (phase, user) = request.target()[1..].split_once('/').expect("phase and user");
        let phase: usize = phase.parse().expect("a phase");
        let phases = &self.phases[phase..];
        let who = if user == "guest" { Who::Guest } else { Who::Member(0) };
        let may_pass = phases.iter().any(|state| self.expected(who, *state).contains(&200));
        assert!(may_pass, "{name}: sidemint was not asked, {phases:?}: {request:?}");
        let said = SET.map(|header| request.said(header));
        if user == "guest" {
            assert_eq!(said, [None, None, None, None, None, Some("anonymous")], "{name}: {request:?}");
        } else {
            assert!(said.iter().all(Option::is_some), "{name}: a part of the set: {request:?}");
            assert_eq!(
                (subject_of(said[0].unwrap()).as_str(), said[3], said[5]),
                (user, Some(user), Some("ok")),
                "{name}"
            );
        }
    }
}
