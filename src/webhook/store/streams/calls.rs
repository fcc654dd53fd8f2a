//! What each script is asked, and how its answer is read. No answer is trusted: what cannot be one is none.

use std::sync::Arc;
use std::time::Duration;

use super::scripts::Scripts;
use crate::clock::Timestamp;
use crate::shared::{Call, Reply, StoredScript};
use crate::webhook::event::Event;
use crate::webhook::store::listing::{Limits, Row};
use crate::webhook::store::{Figures, Memory, Seq, Standing};

/// An event that was put aside is kept for so long.
const ASIDE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Bytes of the events of one answer, more or less.
const TAKEN_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of a key in the memory of repeats: beyond 128 bits of SHA-256 they only make it larger.
const KEY_BYTES: usize = 16;
/// Bytes that count for an event beside its content.
const OVERHEAD: usize = 256;

/// Makes the calls of one queue.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) scripts: Scripts,
    prefix: String,
    /// The time of scripts whose clock is moved by hand.
    #[cfg(test)]
    clock: Option<Arc<dyn crate::clock::Clock>>,
}

/// A sealed event.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// In place of the order key, which is a hash of what may be guessed.
    pub(super) order: String,
}

/// What was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    New,
    Repeat,
    Full,
}

/// An event that was taken, as the server has it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) webhook_id: String,
    pub(super) received: Timestamp,
    pub(super) attempts: u32,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// What an application's deliveries learn at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// When more may be due; `None` means not before something changes.
    pub(super) wait: Option<Duration>,
    pub(super) entries: Vec<Entry>,
    /// Events that were put aside and have ended.
    pub(super) expired: Vec<String>,
    /// Events that an operator dropped, and why.
    pub(super) dropped: Vec<(String, String)>,
    pub(super) stands: Stands,
}

/// How things stand, as told at the end of each answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stands {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) forgotten: u64,
    pub(super) webhook: Standing,
}

impl Stands {
    pub(super) fn figures(&self, limits: &Limits) -> Figures {
        Figures {
            events: self.events,
            bytes: self.bytes,
            most_events: limits.events,
            most_bytes: limits.bytes,
            forgotten: self.forgotten,
        }
    }
}

impl Calls {
    pub(super) fn new(fleet: &str) -> Self {
        Self {
            scripts: Scripts::new(),
            prefix: format!("smq1:{{{fleet}}}:"),
            #[cfg(test)]
            clock: None,
        }
    }

    /// With a clock that tests move by hand.
    #[cfg(test)]
    pub(super) fn timed(fleet: &str, clock: Arc<dyn crate::clock::Clock>) -> Self {
        Self { scripts: Scripts::timed(), clock: Some(clock), ..Self::new(fleet) }
    }

    fn call(&self, script: &Arc<StoredScript>, webhook: &str, args: Vec<Vec<u8>>) -> Call {
        let of_queue = ["events", "facts", "state", "all", "lines"];
        let of_webhook = ["listed", "taken", "holding", "waiting", "aside", "keys", "proofs"];
        let queue = of_queue.iter().map(|name| format!("{}{name}", self.prefix));
        let webhook = of_webhook.iter().map(|name| format!("{}{name}:{webhook}", self.prefix));
        let keys = queue.chain(webhook).chain([format!("{}told", self.prefix)]).collect();
        #[cfg(test)]
        let args = match &self.clock {
            Some(clock) => [args, vec![text(clock.now().as_millis())]].concat(),
            None => args,
        };
        Call { script: Arc::clone(script), keys, args }
    }

    pub(super) fn keep(&self, event: &Event, sealed: Sealed, memory: Memory, limits: &Limits) -> Call {
        let short = |key: &[u8; 32]| key.iter().copied().take(KEY_BYTES).collect::<Vec<u8>>();
        let plain = event.body.len().saturating_add(sealed.head.len()).saturating_add(OVERHEAD);
        let args = vec![
            text(&event.webhook),
            short(event.key.as_bytes()),
            short(event.proof.as_bytes()),
            text(memory.key.as_millis()),
            text(memory.proof.as_millis()),
            text(sealed.order),
            text(event.key.webhook_id(&event.webhook)),
            text(event.received.as_millis()),
            text(plain),
            sealed.head,
            sealed.body,
            text(limits.events),
            text(limits.bytes),
            text(limits.part(limits.events)),
            text(limits.part(limits.bytes)),
            text(event.body.len()),
            text(limits.remembered),
        ];
        self.call(&self.scripts.keep, &event.webhook, args)
    }

    pub(super) fn kept(reply: Reply) -> Option<(Answer, Stands)> {
        let mut parts = list(reply)?;
        let answer = match &*bytes(parts.next()?)? {
            b"new" => Answer::New,
            b"repeat" => Answer::Repeat,
            b"full" => Answer::Full,
            _ => return None,
        };
        Some((answer, stands(parts.next()?)?))
    }

    pub(super) fn take(&self, webhook: &str, most: usize, holder: &str, lease: Duration) -> Call {
        let args = vec![text(most), text(holder), text(lease.as_millis()), text(TAKEN_BYTES), text(ASIDE.as_millis())];
        self.call(&self.scripts.take, webhook, args)
    }

    pub(super) fn taken(reply: Reply) -> Option<Batch> {
        let mut parts = list(reply)?;
        let wait = int(parts.next()?)?;
        let mut entries = Vec::new();
        for one in list(parts.next()?)? {
            let mut fields = list(one)?;
            let mut next = || fields.next();
            entries.push(Entry {
                seq: parsed(next()?)?,
                webhook_id: string(next()?)?,
                received: Timestamp::from_millis(parsed(next()?)?),
                attempts: parsed(next()?)?,
                head: bytes(next()?)?,
                body: bytes(next()?)?,
            });
        }
        let (mut expired, mut dropped) = (Vec::new(), Vec::new());
        for one in list(parts.next()?)? {
            let mut fields = list(one)?;
            let mut next = || fields.next().and_then(string);
            let (what, webhook_id, reason) = (next()?, next()?, next()?);
            if what == "expired" { expired.push(webhook_id) } else { dropped.push((webhook_id, reason)) }
        }
        let wait = u64::try_from(wait).ok().map(Duration::from_millis);
        Some(Batch { wait, entries, expired, dropped, stands: stands(parts.next()?)? })
    }

    /// What became of events: of each its number, a word and what belongs to it.
    pub(super) fn settle(&self, webhook: &str, holder: &str, settled: &[(Seq, &'static str, String)]) -> Call {
        let mut args = vec![text(holder)];
        for (seq, what, more) in settled {
            args.extend([id(*seq), text(what), text(more)]);
        }
        self.call(&self.scripts.settle, webhook, args)
    }

    pub(super) fn renew(&self, webhook: &str, holder: &str, lease: Duration, taken: &[Seq]) -> Call {
        let mut args = vec![text(holder), text(lease.as_millis())];
        args.extend(taken.iter().map(|seq| id(*seq)));
        self.call(&self.scripts.renew, webhook, args)
    }

    pub(super) fn stands(reply: Reply) -> Option<Stands> {
        stands(reply)
    }

    pub(super) fn list(&self, after: Seq, most: usize) -> Call {
        self.call(&self.scripts.list, "", vec![text(after), text(most)])
    }

    /// The events of a page. One that is half gone has no row, and counts.
    pub(super) fn rows(reply: Reply) -> Option<(Option<Seq>, Vec<Row>)> {
        let (mut rows, mut last) = (Vec::new(), None);
        for one in list(reply)? {
            let mut fields = list(one)?;
            let seq = parsed(fields.next()?)?;
            last = Some(seq);
            let Some(name) = fields.next() else { continue };
            let mut next = || fields.next();
            let (name, webhook_id, reason) = (string(name)?, string(next()?)?, string(next()?)?);
            rows.push(Row {
                seq,
                name,
                webhook_id,
                is_dead: !reason.is_empty(),
                received: Timestamp::from_millis(parsed(next()?)?),
                due: Timestamp::from_millis(parsed(next()?)?),
                attempts: parsed(next()?)?,
                bytes: parsed(next()?)?,
                reason: Some(reason).filter(|reason| !reason.is_empty()),
            });
        }
        Some((last, rows))
    }

    pub(super) fn show(&self, seq: Seq) -> Call {
        self.call(&self.scripts.show, "", vec![id(seq)])
    }

    /// Head and body; `Some(None)` where the event is gone.
    pub(super) fn shown(reply: Reply) -> Option<Option<(Vec<u8>, Vec<u8>)>> {
        let mut parts = list(reply)?;
        match (parts.next(), parts.next()) {
            (Some(head), Some(body)) => Some(Some((bytes(head)?, bytes(body)?))),
            _ => Some(None),
        }
    }

    pub(super) fn replay(&self, row: &Row, wait: Duration) -> Call {
        let args = vec![id(row.seq), text("replay"), text(wait.as_millis())];
        self.call(&self.scripts.change, &row.name, args)
    }

    pub(super) fn drop_event(&self, row: &Row, reason: &str) -> Call {
        self.call(&self.scripts.change, &row.name, vec![id(row.seq), text("drop"), text(reason)])
    }
}

/// As the scripts write it: texts of one length, so that they sort as the numbers do.
fn id(seq: Seq) -> Vec<u8> {
    format!("{seq:016}").into_bytes()
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn list(reply: Reply) -> Option<std::vec::IntoIter<Reply>> {
    match reply {
        Reply::List(list) => Some(list.into_iter()),
        _ => None,
    }
}

fn bytes(reply: Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Bytes(bytes) => Some(bytes),
        Reply::Int(number) => Some(text(number)),
        _ => None,
    }
}

fn string(reply: Reply) -> Option<String> {
    String::from_utf8(bytes(reply)?).ok()
}

fn parsed<T: std::str::FromStr>(reply: Reply) -> Option<T> {
    string(reply)?.parse().ok()
}

pub(super) fn int(reply: Reply) -> Option<i64> {
    parsed(reply)
}

fn stands(reply: Reply) -> Option<Stands> {
    let mut parts = list(reply)?;
    let mut next = || parts.next().and_then(int);
    let (events, bytes, forgotten) = (next()?, next()?, next()?);
    let (pending, dead, oldest) = (next()?, next()?, next()?);
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    let oldest = (oldest >= 0).then(|| Timestamp::from_millis(oldest));
    Some(Stands {
        events: count(events),
        bytes: count(bytes),
        forgotten: u64::try_from(forgotten).unwrap_or(0),
        webhook: Standing { pending: count(pending), dead: count(dead), oldest },
    })
}
