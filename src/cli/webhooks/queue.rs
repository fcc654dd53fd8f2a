//! What the verbs that work on the queue have in common: opening it, choosing events, and writing one of them on a line.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::{Failure, say};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Config, Environment, Sources};
use crate::webhook::store::{Filter, OpenError, Operator, Row, SealKey};

/// Where an event stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum State {
    /// It waits for its next attempt, or for an earlier event of its order
    Pending,
    /// It was put aside
    Dead,
}

/// Which events are meant.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Chosen {
    /// Events of this webhook
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Events that wait, or those that were put aside
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Events that were received within this time
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
}

impl Chosen {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            name: self.name.clone(),
            is_dead: self.state.map(|state| matches!(state, State::Dead)),
            since: self.since.map(|span| SystemClock.now().minus(span)),
            webhook_id: None,
        }
    }
}

impl From<OpenError> for Failure {
    /// Exit code 1 says that no event is meant, so whatever keeps from looking is 2.
    fn from(error: OpenError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Opens the queue that the configuration names.
pub(super) fn open(sources: &Sources, environment: &Environment) -> Result<Operator, Failure> {
    let config = Config::load(sources, environment)?;
    let Some(queue) = config.webhooks.as_ref().and_then(|webhooks| webhooks.queue.as_ref()) else {
        return Err(Failure::Usage(
            "no webhook keeps events: each has mode = \"through\", or there is no [webhooks.NAME]".to_owned(),
        ));
    };
    let key = SealKey::configured(queue).map_err(|mistake| Failure::Usage(mistake.to_string()))?;
    Ok(Operator::open(queue, key)?)
}

/// Events by their ids. Ids that no event has are told.
pub(super) fn by_id(operator: &Operator, ids: &[String]) -> Result<Vec<Row>, Failure> {
    let mut found = Vec::new();
    for id in ids {
        let rows = operator.list(&Filter { webhook_id: Some(id.clone()), ..Filter::default() })?;
        if rows.is_empty() {
            say(&format!("sidemint: no event has the id {id}\n"));
        }
        found.extend(rows);
    }
    Ok(found)
}

/// What is said where no event is meant: exit code 1.
pub(super) fn some(rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
    if rows.is_empty() { Err(Failure::Running("no event matches".to_owned())) } else { Ok(rows) }
}

pub(super) fn state(row: &Row) -> &'static str {
    if row.is_dead { "dead" } else { "pending" }
}

/// One event on a line for people.
pub(super) fn line(row: &Row) -> String {
    let what = match &row.reason {
        Some(reason) => format!("{reason} since {}", row.due.to_rfc3339()),
        None => format!("next {}", row.due.to_rfc3339()),
    };
    let (id, state, received) = (&row.webhook_id, state(row), row.received.to_rfc3339());
    format!(
        "{id}  {state:7}  {}  received {received}  attempts {}  {} bytes  {what}\n",
        row.name, row.attempts, row.bytes
    )
}

/// One event on a line for programs.
pub(super) fn json(row: &Row) -> String {
    let time = |at: Timestamp| at.to_rfc3339();
    let mut value = serde_json::json!({
        "id": row.webhook_id, "name": row.name, "state": state(row), "received": time(row.received),
        "attempts": row.attempts, "bytes": row.bytes,
    });
    if let Some(members) = value.as_object_mut() {
        let (key, reason) = if row.is_dead { ("dead_since", row.reason.clone()) } else { ("due", None) };
        members.insert(key.to_owned(), time(row.due).into());
        members.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
    }
    format!("{value}\n")
}
