//! The fronts of teams: which routes answer on which host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Uri;
use http::header::HOST;
use http::uri::Authority;
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::identity::{ConnectionProof, Peer, Peers, Rank};
use crate::inbound::AppState;
use crate::inbound::connection::{HeadFault, Phase};
use crate::inbound::listener::{Answers, Content};
use crate::inbound::routes::Routes;
use crate::inbound::status::TeamRow;
use crate::lifecycle::Lifecycle;

/// The fronts of all teams, by host. A host that is not among them is the platform's.
#[derive(Debug, Default)]
pub struct TeamFronts {
    by_host: ArcSwap<HashMap<Box<str>, Arc<TeamFront>>>,
    /// How each team is, by name.
    rows: Mutex<BTreeMap<String, TeamRow>>,
}

/// What answers on the hosts of one team.
#[derive(Debug)]
pub struct TeamFront {
    routes: Routes,
    peers: Arc<Peers>,
    /// What its gauges show, where it is served.
    served: Option<(AppState, Lifecycle)>,
}

impl TeamFront {
    /// One that is served. Its background tasks end with `lifecycle`.
    pub fn served(state: AppState, lifecycle: Lifecycle) -> Self {
        Self {
            routes: Routes::front(&state),
            peers: Arc::clone(state.sources.peers()),
            served: Some((state, lifecycle)),
        }
    }

    /// One whose fragment cannot be served: every request ends so. `state` is of no use but to count and log them.
    pub fn unavailable(state: &AppState) -> Self {
        Self { routes: Routes::unavailable(state), peers: Arc::default(), served: None }
    }
}

impl TeamFronts {
    /// From now on `front` answers on these hosts. Requests that are under way end where they began.
    pub fn set(&self, hosts: &BTreeSet<String>, front: TeamFront) {
        let front = Arc::new(front);
        self.by_host.rcu(|now| {
            let mut next = HashMap::clone(now);
            next.extend(hosts.iter().map(|host| (host.as_str().into(), Arc::clone(&front))));
            next
        });
    }

    /// From now on the status page tells this of the team.
    pub fn tell(&self, row: TeamRow) {
        self.rows.lock().insert(row.team.clone(), row);
    }

    /// How the teams are.
    pub(in crate::inbound) fn rows(&self) -> Vec<TeamRow> {
        self.rows.lock().values().cloned().collect()
    }

    fn of(&self, host: Option<Authority>) -> Option<Arc<TeamFront>> {
        // F-16: one owner of a host
        self.by_host.load().get(host?.host().to_ascii_lowercase().as_str()).map(Arc::clone)
    }

    /// How far any team believes the peer of a connection. It is never known for a team: a fragment could believe everyone,
    /// and take the places of those whom the platform knows.
    fn rank(&self, peer: Peer) -> Rank {
        let is_open = |front: &Arc<TeamFront>| front.peers.assess(peer, &[]).rank() > Rank::Unproven;
        // F-16: rank of a team's caller
        if self.by_host.load().values().any(is_open) { Rank::Open } else { Rank::Unproven }
    }

    /// Shows how the teams are doing as gauges.
    pub(in crate::inbound) fn show(&self) {
        for front in self.by_host.load().values() {
            if let Some((state, lifecycle)) = &front.served {
                state.status(lifecycle).show(&state.metrics);
            }
        }
    }
}

/// The routes of the platform with those of its teams.
#[derive(Clone, Debug)]
pub struct TeamRoutes {
    /// Those of the platform.
    pub platform: Routes,
    /// Those of the teams.
    pub teams: Arc<TeamFronts>,
}

impl Answers for TeamRoutes {
    fn rank(&self, connection: ConnectionProof) -> Rank {
        match connection.rank() {
            Rank::Unproven => self.teams.rank(connection.peer()), // T-70: places of a team's caller
            known => known,
        }
    }

    fn answer(
        &self,
        incoming: http::Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
        fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, std::convert::Infallible>> + Send + 'static + use<>
    {
        let line = || incoming.headers().get(HOST)?.to_str().ok()?.parse().ok();
        // The authority of the target counts, and not `Host` (RFC 9112, 3.2.2).
        let target = Uri::authority(incoming.uri()).cloned();
        let of_line = self.teams.of(line());
        let (front, fault) = match target {
            None => (of_line, fault),
            Some(target) => {
                let front = self.teams.of(Some(target));
                let is_same = match (&front, &of_line) {
                    (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                    (None, None) => true,
                    // Over HTTP/2 there need be no `Host`.
                    (Some(_), None) => !incoming.headers().contains_key(HOST),
                    (None, Some(_)) => false,
                };
                // T-69: hosts of two teams
                (front, fault.or((!is_same).then_some(HeadFault::HostDiffers)))
            }
        };
        match front {
            // F-16: peers of the team
            Some(front) => front.routes.answer(incoming, front.peers.assess(connection.peer(), &[]), phase, fault),
            None => self.platform.answer(incoming, connection, phase, fault),
        }
    }
}
