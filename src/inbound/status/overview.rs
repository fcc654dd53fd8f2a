//! What the status page and `/status.json` tell: the status of every room, what the last hour brought, and one sentence that sums
//! it up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Status;
use super::recent::{Calls, Lately, Look, Recent};
use crate::clock::Timestamp;
use crate::inbound::AppState;
use crate::lifecycle::Lifecycle;
use crate::pacing::BreakerState;
use crate::session::Plan;
use crate::shared::Shared;
use crate::telemetry::Failure;

/// Teams that are told one by one; beyond, those in trouble alone.
const MOST_TEAMS: usize = 50;
/// How long a failure is in the first sentence.
const QUARTER: Duration = Duration::from_mins(15);

/// What the status page is made from, beside the rooms themselves.
#[derive(Clone, Debug)]
pub struct StatusPage {
    /// Hosts under which the page may be asked for, beside addresses and `localhost`.
    pub allow_hosts: BTreeSet<String>,
    /// What the last hour brought.
    pub recent: Arc<Recent>,
    /// The shared tier, where there is one.
    pub tier: Option<Arc<Shared>>,
    /// What is insecure or unusual in the configuration, a sentence each.
    pub cautions: Vec<String>,
}

/// All that is told. It holds nothing secret and nothing of a user.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::inbound) struct Overview {
    pub(super) summary: String,
    pub(super) at: Timestamp,
    pub(super) version: &'static str,
    pub(super) uptime_seconds: u64,
    pub(super) cautions: Vec<String>,
    #[serde(flatten)]
    pub(super) status: Status,
    pub(super) routes: Vec<RouteRow>,
    pub(super) calls: Vec<Calls>,
    pub(super) tier: Option<TierRow>,
    pub(super) teams: Vec<TeamRow>,
    /// Teams that are well and not told one by one.
    pub(super) more_teams: usize,
    pub(super) failures: Vec<Failure>,
}

/// A route, and what it did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteRow {
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) answer: &'static str,
    pub(super) provider: String,
    pub(super) last: [Lately; 3],
}

/// The shared tier, as this replica sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TierRow {
    pub(super) up: bool,
    pub(super) replicas: u64,
    /// Time since the last loss or absence; none while the tier is away.
    pub(super) whole_seconds: Option<u64>,
    pub(super) clock_offset_seconds: i64,
    pub(super) gaps: u64,
    pub(super) sign_outs_pending: i64,
}

/// A team and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamRow {
    /// Its name.
    pub team: String,
    /// Whether it is served as its file says.
    pub up: bool,
    /// File and key of the first mistake, and what is wrong.
    pub mistake: Option<String>,
    /// Routes that are served.
    pub routes: usize,
}

impl Overview {
    pub(in crate::inbound) fn of(page: &StatusPage, state: &AppState, lifecycle: &Lifecycle) -> Self {
        let (status, look) = (state.status(lifecycle), page.recent.look());
        let routes: Vec<RouteRow> = state.sessions.plans().iter().map(|plan| RouteRow::of(plan, &look)).collect();
        let calls: Vec<Calls> = status.providers.iter().map(|provider| look.calls(&provider.name)).collect();
        let teams = state.teams.as_ref().map(|teams| teams.rows()).unwrap_or_default();
        let (at, failures) = (page.recent.clock().now(), state.log.last_failures());
        // Teams have counters of their own: of theirs the list tells.
        let is_news = |own: &&Failure| own.team.is_some() && at.since(own.at) < QUARTER;
        let of_teams = u64::try_from(failures.iter().filter(is_news).count()).unwrap_or(0);
        let own: u64 = routes.iter().filter_map(|route| route.last.get(1)).map(|last| last.failures).sum();
        let failed = own + of_teams;
        let all = teams.len();
        let teams: Vec<TeamRow> = teams.into_iter().filter(|team| all <= MOST_TEAMS || !team.up).collect();
        Self {
            summary: summary(&status, &calls, &teams, failed),
            at,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: page.recent.uptime().as_secs(),
            cautions: page.cautions.clone(),
            routes,
            calls,
            tier: page.tier.as_ref().map(|tier| TierRow::of(tier, page, state)),
            more_teams: all - teams.len(),
            teams,
            failures,
            status,
        }
    }
}

impl RouteRow {
    fn of(plan: &Plan, look: &Look) -> Self {
        let config = &plan.route;
        Self {
            host: config.host.clone(),
            path: config.path.clone(),
            answer: config.kind.label(),
            provider: config.provider.clone(),
            last: look.route(&config.path),
        }
    }
}

impl TierRow {
    fn of(tier: &Shared, page: &StatusPage, state: &AppState) -> Self {
        let (metrics, now) = (&state.metrics.shared, page.recent.clock().moment());
        Self {
            up: tier.is_up(),
            replicas: tier.replicas(),
            whole_seconds: tier.whole_since().map(|since| now.since(since).as_secs()),
            clock_offset_seconds: metrics.clock_offset().get(),
            gaps: metrics.gaps().get(),
            sign_outs_pending: metrics.signouts_pending().get(),
        }
    }
}

/// What whoever is called at night reads first.
fn summary(status: &Status, calls: &[Calls], teams: &[TeamRow], failed: u64) -> String {
    let mut told = vec![if status.ready {
        "Ready.".to_owned()
    } else {
        let codes: Vec<&str> = status.reasons.iter().map(|reason| reason.code).collect();
        format!("Not ready: {}.", codes.join(", "))
    }];
    for (provider, calls) in status.providers.iter().zip(calls) {
        let is_open = provider.calls.breaker != BreakerState::Closed;
        // Not long ago, and no success since.
        let last = calls
            .last_failure
            .as_ref()
            .filter(|last| last.minutes < 15 && calls.last_ok_minutes.is_none_or(|minutes| last.minutes <= minutes));
        if is_open || last.is_some() {
            let class = last.map(|last| format!(" ({})", last.class)).unwrap_or_default();
            let since = calls.last_ok_minutes.map_or_else(
                || "none has succeeded in the last hour".to_owned(),
                |minutes| format!("the last one that succeeded was {} ago", span(minutes)),
            );
            told.push(format!(
                "Calls to provider {} fail{class}; {since}. Users with a session notice nothing until it ends.",
                provider.name
            ));
        }
    }
    let down = teams.iter().filter(|team| !team.up).count();
    match down {
        0 => {}
        1 => told.push("One team has a mistake in its file.".to_owned()),
        many => told.push(format!("{many} teams have mistakes in their files.")),
    }
    told.push(match failed {
        0 => "No request failed in the last 15 minutes.".to_owned(),
        1 => "One request failed in the last 15 minutes.".to_owned(),
        many => format!("{many} requests failed in the last 15 minutes."),
    });
    told.join(" ")
}

/// Minutes as people say them.
pub(super) fn span(minutes: usize) -> String {
    match minutes {
        0 => "less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        many => format!("{many} minutes"),
    }
}

/// A duration as people say it, in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
