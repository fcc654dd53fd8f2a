//! The tier on Redis or Valkey: a single server, one that sentinels name, or a cluster. The only place that names the crate.

mod calls;
mod client;
mod dial;
mod link;
mod look;
mod scripts;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use redis::aio::ConnectionLike as _;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::names::{LeaseToken, SessionName, UserName};
use super::tier::{
    Asked, Away, Beat, Beaten, DeniedPage, End, Enter, Entered, Event, Fence, Land, Landed, Take, Taken, Tier, TierTime,
};
use crate::clock::Clock;
use crate::config::Shared;
use crate::lifecycle::Lifecycle;
use calls::{Keep, Keys, Question};
pub use client::{Call, Client, OnDisk, Refused, Reply, StoredScript};
use dial::Dialer;
use link::Link;
use look::Use;
use scripts::{Script, Scripts};
use wire::Wire;

/// Beats in vain after which a connection is given up: the server may be another one by now.
const IN_VAIN: u32 = 4;
/// Fields of a hash, and what they hold.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Denied users on one page.
const PAGE: u64 = 256;

/// The tier on Redis or Valkey.
#[derive(Debug)]
pub struct Redis {
    link: Arc<Link>,
    dialer: Arc<Dialer>,
    scripts: Arc<Scripts>,
    keys: Keys,
    /// Beats that began and had no answer yet.
    in_vain: AtomicU32,
    /// What the server last refused with, so that each reason is told once.
    refused: Mutex<Option<String>>,
}

impl Redis {
    /// The tier of the section `[cache.shared]`, without a connection.
    pub fn new(own: &Shared) -> Self {
        let scripts = Arc::new(Scripts::new());
        Self {
            link: Arc::default(),
            dialer: Arc::new(Dialer::new(
                own.server.clone(),
                scripts.all().map(|script| Arc::from(&*script.text)).to_vec(),
                Use::Tier,
            )),
            scripts,
            keys: Keys::new(&own.fleet),
            in_vain: AtomicU32::new(0),
            refused: Mutex::default(),
        }
    }

    /// Makes connections in the background, until the service drains.
    pub fn start(&self, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
        let (link, dialer) = (Arc::clone(&self.link), Arc::clone(&self.dialer));
        lifecycle.spawn(link.run(dialer, Arc::clone(clock), lifecycle.draining().clone()));
    }

    async fn ask<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Away> {
        let (mut wire, number) = self.link.wire().ok_or(Away::Lost)?;
        let call = question.call(&self.scripts, &self.keys);
        let mut command = redis::cmd("EVALSHA");
        command.arg(&call.script.hash).arg(call.keys.len()).arg(&call.keys).arg(&call.args);
        let mut answer = wire.req_packed_command(&command).await.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            answer = Self::eval(&mut wire, call.script, &call.keys, &call.args).await;
        }
        let answer = answer.map_err(|error| self.away(&error, number))?;
        question.read(answer).ok_or(Away::Refused)
    }

    /// Runs a script that the server has forgotten, and has it remembered.
    async fn eval(wire: &mut Wire, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, RedisError> {
        let mut command = redis::cmd("EVAL");
        command.arg(&script.text).arg(keys.len()).arg(keys).arg(args);
        wire.req_packed_command(&command).await.and_then(Value::extract_error)
    }

    /// What an error means. A connection that is of no use is given up.
    fn away(&self, error: &RedisError, number: u64) -> Away {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
        match error.kind() {
            ErrorKind::Server(ReadOnly | BusyLoading | MasterDown) => {
                self.link.drop_wire(number);
                self.tell(error);
                Away::Lost
            }
            ErrorKind::Server(ClusterDown) => {
                self.tell(error);
                Away::Lost
            }
            ErrorKind::Server(_) | ErrorKind::Extension => {
                self.tell(error);
                Away::Refused
            }
            _ if error.is_timeout() => Away::Timeout,
            _ => {
                self.link.drop_wire(number);
                Away::Lost
            }
        }
    }

    /// The code alone: a server's words may hold keys (F-11).
    fn tell(&self, error: &RedisError) {
        let code = error.code().unwrap_or("ERR");
        let mut refused = self.refused.lock();
        if refused.as_deref() != Some(code) {
            tracing::warn!(code, "the shared tier refuses a question");
            *refused = Some(code.to_owned());
        }
    }

    async fn live(&self, ask: &Beat) -> Result<Beaten, Away> {
        if self.in_vain.fetch_add(1, Ordering::Relaxed) >= IN_VAIN
            && let Some((_, number)) = self.link.wire()
        {
            self.link.drop_wire(number);
            self.in_vain.store(0, Ordering::Relaxed);
            return Err(Away::Lost);
        }
        let (beaten, nodes) = tokio::join!(self.ask(ask), self.ping());
        let beaten = nodes.and(beaten)?;
        self.in_vain.store(0, Ordering::Relaxed);
        *self.refused.lock() = None;
        Ok(beaten)
    }

    /// Whether every other part of a cluster answers as well.
    async fn ping(&self) -> Result<(), Away> {
        let Some((Wire::Many(mut wire), number)) = self.link.wire() else { return Ok(()) };
        let all = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::AllSucceeded));
        let answer = wire.route_command(redis::cmd("PING"), RoutingInfo::MultiNode(all)).await;
        answer.map(drop).map_err(|error| self.away(&error, number))
    }

    async fn page(&self, page: u64) -> Result<DeniedPage, Away> {
        let (mut wire, number) = self.link.wire().ok_or(Away::Lost)?;
        let key = self.keys.event("d");
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(&key).arg(page).arg("COUNT").arg(PAGE);
        let scanned = scan.query_async::<(u64, Rows)>(&mut wire).await;
        let (next, rows) = scanned.map_err(|error| self.away(&error, number))?;
        let until = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok().map(TierTime::from_micros);
        let users = rows.iter().filter_map(|(user, time)| Some((UserName::parse(user)?, until(time)?))).collect();
        Ok(DeniedPage { next, users })
    }
}

impl Tier for Redis {
    fn enter<'a>(&'a self, ask: &'a Enter) -> Asked<'a, Entered> {
        Box::pin(self.ask(ask))
    }

    fn land<'a>(&'a self, ask: &'a Land) -> Asked<'a, Landed> {
        Box::pin(self.ask(ask))
    }

    fn keep<'a>(&'a self, name: &'a SessionName, lease: &'a LeaseToken) -> Asked<'a, bool> {
        Box::pin(async move { self.ask(&Keep(name, lease)).await })
    }

    fn end<'a>(&'a self, ask: &'a End) -> Asked<'a, Fence> {
        Box::pin(self.ask(ask))
    }

    fn tell<'a>(&'a self, event: &'a Event) -> Asked<'a, u64> {
        Box::pin(self.ask(event))
    }

    fn take<'a>(&'a self, ask: &'a Take) -> Asked<'a, Taken> {
        Box::pin(self.ask(ask))
    }

    fn beat<'a>(&'a self, ask: &'a Beat) -> Asked<'a, Beaten> {
        Box::pin(self.live(ask))
    }

    fn denied(&self, page: u64) -> Asked<'_, DeniedPage> {
        Box::pin(self.page(page))
    }
}

#[cfg(test)]
pub(super) mod tests;
