//! A server on which another room keeps things of its own: it brings its scripts, and nothing of the crate is seen outside.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike as _;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use tokio_util::sync::CancellationToken;

use super::dial::Dialer;
use super::link::Link;
use super::look::Use;
use super::scripts::Script;
use super::wire::Wire;
use crate::clock::Clock;
use crate::config::RedisServer;
use crate::shared::Away;

/// A script, and the name that the server knows it by.
#[derive(Debug)]
pub struct StoredScript(Script);

impl StoredScript {
    /// From its text: what all scripts of its room begin with, and its own.
    pub fn new(prelude: &str, body: &str) -> Self {
        Self(Script::new(prelude, body))
    }

    fn text(&self) -> Arc<str> {
        Arc::from(&*self.0.text)
    }
}

/// One run of a script.
#[derive(Clone, Debug)]
pub struct Call {
    /// What runs.
    pub script: Arc<StoredScript>,
    /// The keys that it touches: of one hash tag, so that they are on one server of a cluster.
    pub keys: Arc<[String]>,
    /// What it is given.
    pub args: Vec<Vec<u8>>,
}

impl Call {
    fn command(&self, by_text: bool) -> Cmd {
        let (name, script) = if by_text { ("EVAL", &self.script.0.text) } else { ("EVALSHA", &self.script.0.hash) };
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&*self.keys).arg(&self.args);
        command
    }
}

/// What a script answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A whole number.
    Int(i64),
    /// Text or bytes.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Reply>),
}

/// Why one call did nothing, while the connection is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has no memory left.
    Full,
    /// Anything else, by the server's code: its words may hold keys.
    Other(String),
}

/// Which copies of a write must be on a disk, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk {
    /// Replicas of the server, beside the server itself.
    pub replicas: u64,
    /// How long the server waits for them.
    pub wait: Duration,
}

/// One connection to such a server, made again in the background where it broke.
#[derive(Debug)]
pub struct Client {
    link: Arc<Link>,
    dialer: Arc<Dialer>,
}

impl Client {
    /// A client without a connection, which has `scripts` loaded wherever it connects.
    pub fn new(server: &RedisServer, scripts: &[&StoredScript]) -> Self {
        let scripts = scripts.iter().map(|script| script.text()).collect();
        Self { link: Arc::default(), dialer: Arc::new(Dialer::new(server.clone(), scripts, Use::Queue)) }
    }

    /// Makes connections until it is told to stop.
    pub async fn run(&self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        Arc::clone(&self.link).run(Arc::clone(&self.dialer), clock, stop).await;
    }

    /// Makes a connection once. `Err` with `true` where the server is there and must be set up differently.
    pub async fn connect(&self) -> Result<(), (String, bool)> {
        let wire = self.dialer.dial().await.map_err(|error| (error.to_string(), error.is_unusable()))?;
        self.link.set_wire(wire);
        Ok(())
    }

    /// Runs `calls` in order on one connection, within `limit`, and says whether all that was written by then is on so many
    /// disks, where that is asked for. A connection that does not answer in time is given up.
    pub async fn ask(
        &self,
        calls: &[Call],
        on_disk: Option<OnDisk>,
        limit: Duration,
    ) -> Result<(Vec<Result<Reply, Refused>>, bool), Away> {
        if calls.is_empty() {
            return Ok((Vec::new(), true));
        }
        let (wire, number) = self.link.wire().ok_or(Away::Lost)?;
        let asking = self.ask_on(wire, calls, on_disk);
        match tokio::time::timeout(limit, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_error)) => {
                self.link.drop_wire(number);
                Err(Away::Lost)
            }
            Err(_) => {
                self.link.drop_wire(number);
                Err(Away::Timeout)
            }
        }
    }

    async fn ask_on(
        &self,
        mut wire: Wire,
        calls: &[Call],
        on_disk: Option<OnDisk>,
    ) -> Result<(Vec<Result<Reply, Refused>>, bool), RedisError> {
        let mut replies = run(&mut wire, calls, false, on_disk).await?;
        // A server that has restarted, or took over from another, knows no scripts.
        let is_unknown = |value: &Value| matches!(value, Value::ServerError(error) if RedisError::from(error.clone()).kind() == ErrorKind::Server(ServerErrorKind::NoScript));
        if replies.iter().any(is_unknown) {
            let again: Vec<usize> = (0..calls.len()).filter(|nth| replies.get(*nth).is_some_and(is_unknown)).collect();
            let unknown: Vec<Call> = again.iter().filter_map(|nth| calls.get(*nth).cloned()).collect();
            let mut second = run(&mut wire, &unknown, true, on_disk).await?;
            if on_disk.is_some()
                && let (Some(last), Some(newer)) = (replies.last_mut(), second.pop())
            {
                *last = newer;
            }
            for (nth, reply) in again.into_iter().zip(second) {
                if let Some(old) = replies.get_mut(nth) {
                    *old = reply;
                }
            }
        }
        let is_on_disk = match on_disk {
            None => true,
            Some(wanted) => replies.pop().is_some_and(|reply| is_enough(&reply, wanted)),
        };
        let mut read = Vec::new();
        for reply in replies {
            read.push(reading(reply)?);
        }
        Ok((read, is_on_disk))
    }
}

/// The disk of the server, and those of its replicas.
fn is_enough(reply: &Value, wanted: OnDisk) -> bool {
    let Value::Array(counts) = reply else { return false };
    let [Value::Int(own), Value::Int(replicas)] = counts[..] else { return false };
    own >= 1 && u64::try_from(replicas).is_ok_and(|replicas| replicas >= wanted.replicas) // W-28: enough disks
}

async fn run(
    wire: &mut Wire,
    calls: &[Call],
    by_text: bool,
    on_disk: Option<OnDisk>,
) -> Result<Vec<Value>, RedisError> {
    let mut pipeline = Pipeline::with_capacity(calls.len());
    for call in calls {
        pipeline.add_command(call.command(by_text));
    }
    if let Some(OnDisk { replicas, wait }) = on_disk {
        pipeline.cmd("WAITAOF").arg(1).arg(replicas).arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
    let count = calls.len().saturating_add(usize::from(on_disk.is_some()));
    match wire {
        Wire::One(one) => one.req_packed_commands(&pipeline, 0, count).await,
        // All of it goes to one node on one connection, which WAITAOF goes by.
        Wire::Many(many) => {
            let key = calls.first().and_then(|call| call.keys.first()).map_or("", String::as_str);
            let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
            many.route_pipeline(pipeline, 0, count, route).await
        }
    }
}

/// `Err` for what says that the connection leads to the wrong server.
fn reading(value: Value) -> Result<Result<Reply, Refused>, RedisError> {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    Ok(match value {
        Value::ServerError(error) => {
            let error = RedisError::from(error);
            match (error.kind(), error.code()) {
                (ErrorKind::Server(ReadOnly | BusyLoading | MasterDown | ClusterDown), _) => return Err(error),
                (_, Some("OOM")) => Err(Refused::Full),
                (_, code) => Err(Refused::Other(code.unwrap_or("ERR").to_owned())),
            }
        }
        value => Ok(plain(value)),
    })
}

fn plain(value: Value) -> Reply {
    match value {
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Bytes(bytes),
        Value::SimpleString(text) => Reply::Bytes(text.into_bytes()),
        Value::Okay => Reply::Bytes(b"OK".to_vec()),
        Value::Array(list) => Reply::List(list.into_iter().map(plain).collect()),
        _ => Reply::Nil,
    }
}
