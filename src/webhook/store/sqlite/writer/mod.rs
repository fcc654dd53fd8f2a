//! The thread that alone writes the file. A transaction is whatever waits while the last one is written; there is no timer.
//!
//! Nothing of a transaction that fails is acknowledged. A disk that is full refuses a write before anything depends on it, so
//! that transaction is undone and the writer goes on; there may be room for the next. After any other failure the writer ends,
//! and the process must begin anew from what is on disk. A flush that failed is never tried again, since the system may have
//! thrown away what it did not write.

mod checkpointer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::super::{Kept, Seq, StoreError};
use super::database::{WAL_BYTES, checkpoint, is_full};
use super::holdings::Holdings;
use super::rows::{Content, Inserted, Log, Mark, Rows};
use super::seal::SealKey;
use super::state::{Keep, Shared, Stored, Work};
use super::{Limits, head_of};
use crate::clock::{Moment, Stopwatch, Timestamp};
use crate::metrics::{Histogram, Metrics, Size};

pub(super) use checkpointer::Checkpointer;

/// Events that were put aside are kept for so long.
const ASIDE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// So often their end is looked for.
const TIDY: Duration = Duration::from_secs(10 * 60);
/// Pages of the log that are not in the file yet, beyond which they are copied beside the commits.
const BEHIND_PAGES: i32 = 1024;
/// Pages of the log beyond which it is begun anew.
const LOG_PAGES: i32 = WAL_BYTES / 4096;
/// Pages that the writer copies itself in order to begin the log anew: a stop no longer than that of a few commits.
const LAST_PAGES: i32 = 256;
/// Pages of the log beyond which the writer copies what is left, however much that is: copies beside it come too late.
const MOST_PAGES: i32 = LOG_PAGES + BEHIND_PAGES;
/// Free pages of the file that stay, and as many are given back at a time.
const FREE_PAGES: i32 = 1024;

/// Bytes of bodies beyond which nothing is read ahead.
const AHEAD_BYTES: usize = 1024 * 1024;

/// What a transaction found out about one event.
type Outcome = Result<Option<Inserted>, StoreError>;

/// What the writer counts.
pub(super) struct Counts {
    commit_seconds: Histogram,
    commit_events: Size,
    /// Has a counter for each webhook.
    metrics: Arc<Metrics>,
}

impl Counts {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        let own = &metrics.webhook;
        Self { commit_seconds: own.commit_seconds(), commit_events: own.commit_events(), metrics: Arc::clone(metrics) }
    }
}

pub(super) struct Writer<'c> {
    connection: &'c Connection,
    checkpointer: Checkpointer,
    rows: Rows<'c>,
    shared: Arc<Shared>,
    limits: Limits,
    held: Holdings,
    /// Which version of the file is known.
    version: i64,
    /// Whether the disk was full at the last attempt.
    is_full: bool,
    /// When the end of events that were put aside was looked for.
    tidied: Option<Moment>,
    /// What both clocks said when the file was opened.
    opened: (Timestamp, Moment),
    counts: Counts,
}

impl<'c> Writer<'c> {
    /// A writer of an open file. It has filled the index.
    pub(super) fn new(
        connection: &'c Connection,
        checkpointer: Checkpointer,
        seal: Option<SealKey>,
        limits: Limits,
        shared: Arc<Shared>,
        counts: Counts,
    ) -> rusqlite::Result<Self> {
        let mut rows = Rows::new(connection, seal, limits.remembered)?;
        let version = rows.version()?;
        rows.each_waiting(|known| shared.load(&known))?;
        let held = rows.holdings()?;
        shared.change(Vec::new(), &held);
        let opened = (shared.clock.now(), shared.clock.moment());
        Ok(Self {
            connection,
            checkpointer,
            rows,
            shared,
            limits,
            held,
            version,
            is_full: false,
            tidied: None,
            opened,
            counts,
        })
    }

    /// What the wall clock says, but no later than it would be had it not been set since the file was opened. What is
    /// deleted does not come back when a clock that was set forward is put right.
    fn passed(&self) -> Timestamp {
        let (time, moment) = self.opened;
        self.shared.clock.now().min(time.plus(self.shared.clock.moment().since(moment)))
    }

    /// Works until it is told to end, or until something fails.
    pub(super) fn run(mut self) {
        loop {
            let work = self.shared.next_work();
            let is_last = work.is_last;
            if let Err(error) = self.step(work).or_else(|error| self.outlast(error)) {
                return self.shared.end(Some(error.to_string())); // W-19: end on a failure
            }
            if is_last {
                let emptied = self.checkpointer.finish().and_then(|()| checkpoint(self.connection, "TRUNCATE"));
                if let Err(error) = emptied {
                    tracing::warn!(%error, "the log of the queue was not emptied; that is done on the next start");
                }
                return self.shared.end(None);
            }
        }
    }

    /// Undoes what a full disk did not take; any other failure stays one.
    fn outlast(&mut self, error: rusqlite::Error) -> rusqlite::Result<()> {
        // W-19: a full disk passes
        if !is_full(&error) {
            return Err(error);
        }
        self.rows.undo()?;
        self.held = self.rows.holdings()?;
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::error!("the disk of the queue is full: events are answered 503 until there is room again");
        }
        Ok(())
    }

    fn step(&mut self, work: Work) -> rusqlite::Result<()> {
        let Work { keeps, marks, reads, .. } = work;
        for read in reads {
            let found = self.read(&read.needed, &read.ahead)?;
            let _gone = read.answer.send(found);
        }
        let is_idle = keeps.is_empty() && marks.is_empty();
        if !is_idle {
            self.transact(keeps, marks)?;
        }
        self.look()?;
        self.tidy(is_idle)?;
        self.empty_log()
    }

    /// Keeps the log short. Copies are made beside the commits, but as long as there are commits they never reach the end of
    /// the log, and only then it begins anew: the last few pages are the writer's.
    fn empty_log(&mut self) -> rusqlite::Result<()> {
        let Log { pages, behind } = self.rows.log()?;
        let is_long = pages > LOG_PAGES && behind > 0;
        if is_long && (behind <= LAST_PAGES || pages > MOST_PAGES) {
            return self.checkpointer.finish();
        }
        if is_long || behind > BEHIND_PAGES { self.checkpointer.ask() } else { Ok(()) }
    }

    fn read(&mut self, needed: &[Seq], ahead: &[Seq]) -> rusqlite::Result<Vec<(Seq, Option<Content>)>> {
        let (mut found, mut bytes): (Vec<(Seq, Option<Content>)>, usize) = (Vec::new(), 0);
        for (nth, seq) in needed.iter().chain(ahead).enumerate() {
            if nth >= needed.len() && bytes > AHEAD_BYTES {
                break;
            }
            if let Some(content) = self.rows.read(*seq)? {
                bytes = bytes.saturating_add(content.as_ref().map_or(0, |content| content.body.len()));
                found.push((*seq, content));
            }
        }
        Ok(found)
    }

    /// Begins a transaction; `false` where another process has been writing for too long.
    fn begin(&mut self) -> rusqlite::Result<bool> {
        match self.rows.begin() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
            begun => begun.map(|()| true),
        }
    }

    /// Writes what waits. Those who wait are answered when it is on disk, and not before.
    fn transact(&mut self, keeps: Vec<Keep>, marks: BTreeMap<Seq, Mark>) -> rusqlite::Result<()> {
        let (mut outcomes, stopwatch) = (Vec::new(), Stopwatch::start());
        let written = self.begin().and_then(|has_begun| {
            let forgotten = if has_begun { self.write(&keeps, &marks, &mut outcomes)? } else { 0 };
            if has_begun {
                self.rows.commit()?; // W-18: on disk before the answer
            }
            Ok(has_begun.then_some(forgotten))
        });
        let Ok(Some(forgotten)) = written else {
            refuse(keeps); // W-19: nothing acknowledged
            self.shared.ask(|work| work.marks_again(marks));
            return written.map(|_| tracing::warn!("another process writes the queue for too long"));
        };
        if std::mem::take(&mut self.is_full) {
            tracing::info!("the disk of the queue has room again");
        }
        self.counts.commit_seconds.observe(stopwatch.elapsed().as_secs_f64());
        let kept = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(_)))).count();
        if kept > 0 {
            self.counts.commit_events.observe(u32::try_from(kept).map_or(f64::MAX, f64::from));
        }
        self.shared.with(|state| {
            state.forgotten = state.forgotten.saturating_add(forgotten);
            state.held = self.held.all();
        });
        self.answer(keeps, outcomes);
        Ok(())
    }

    /// Writes all of it, and says how many entries of the memory of repeats were forgotten before their time.
    fn write(
        &mut self,
        keeps: &[Keep],
        marks: &BTreeMap<Seq, Mark>,
        outcomes: &mut Vec<Outcome>,
    ) -> rusqlite::Result<u64> {
        for (seq, mark) in marks {
            if let Some((webhook, bytes)) = self.rows.mark(*seq, *mark)? {
                self.held.remove(&webhook, bytes);
            }
        }
        let now = self.shared.clock.now();
        for keep in keeps {
            let Keep { event, memory, .. } = keep;
            if self.rows.is_repeat(event, now)? {
                outcomes.push(Ok(None));
                continue;
            }
            // What was accepted is never dropped to make room.
            // W-19: full queue
            if !self.held.has_room(&self.limits, &event.webhook, event.body.len()) {
                outcomes.push(Err(StoreError::Full));
                continue;
            }
            let inserted = self.rows.insert(event, *memory, now)?;
            self.held.add(&event.webhook, inserted.bytes);
            outcomes.push(Ok(Some(inserted)));
        }
        if keeps.is_empty() { Ok(0) } else { self.rows.sweep(self.passed()) }
    }

    fn answer(&self, keeps: Vec<Keep>, outcomes: Vec<Outcome>) {
        let (mut stored, mut answers) = (Vec::new(), Vec::new());
        for (keep, outcome) in keeps.into_iter().zip(outcomes) {
            let Keep { event, answer, counted, .. } = keep;
            answers.push((
                (answer, counted),
                match outcome {
                    Err(error) => Err(error),
                    Ok(None) => Ok(Kept::Repeat),
                    Ok(Some(Inserted { seq, webhook_id, .. })) => {
                        let content = Content {
                            webhook_id,
                            received: event.received,
                            head: head_of(&event),
                            body: event.body.clone(),
                        };
                        stored.push(Stored { seq, webhook: event.webhook, order: event.order, content });
                        Ok(Kept::New)
                    }
                },
            ));
        }
        self.shared.add(stored);
        for ((answer, counted), kept) in answers {
            // Before the answer: a provider that posts its next event at once finds the place free.
            drop(counted);
            // The provider may have given up meanwhile; it sends the event again, which is then a repeat.
            let _gone = answer.send(kept);
        }
    }

    /// Takes over what an operator changed beside us.
    fn look(&mut self) -> rusqlite::Result<()> {
        let version = self.rows.version()?;
        // W-27: changes of an operator
        if version == self.version || !self.begin()? {
            return Ok(());
        }
        let changes = self.rows.changes()?;
        self.held = self.rows.holdings()?;
        self.rows.commit()?;
        self.version = version;
        for change in &changes {
            if let Some(reason) = &change.reason {
                tracing::warn!(webhook_id = change.webhook_id, reason, "an operator dropped an event");
            }
        }
        self.shared.change(changes, &self.held);
        Ok(())
    }

    fn give_back(&self) -> rusqlite::Result<()> {
        let mut pages = self.connection.prepare(&format!("PRAGMA incremental_vacuum({FREE_PAGES})"))?;
        let mut pages = pages.query(())?;
        // Each step gives back one page.
        while pages.next()?.is_some() {}
        Ok(())
    }

    /// Ends events that were put aside long ago, and gives free pages back to the file system when nothing else is to be done.
    fn tidy(&mut self, is_idle: bool) -> rusqlite::Result<()> {
        if is_idle && self.rows.free_pages()? > FREE_PAGES {
            self.give_back()?;
            self.checkpointer.finish()?;
        }
        let moment = self.shared.clock.moment();
        if self.tidied.is_some_and(|tidied| moment.since(tidied) < TIDY) || !self.begin()? {
            return Ok(());
        }
        self.tidied = Some(moment);
        let gone = self.rows.end_aside(self.passed().minus(ASIDE))?;
        self.held = self.rows.holdings()?;
        self.rows.commit()?;
        for (webhook, webhook_id) in &gone {
            self.counts.metrics.delivery.expired(webhook).inc();
            tracing::warn!(
                name = &**webhook,
                webhook_id,
                "an event that was put aside has ended; it was never delivered"
            );
        }
        self.shared.change(Vec::new(), &self.held);
        Ok(())
    }
}

fn refuse(keeps: Vec<Keep>) {
    Work { keeps, ..Work::default() }.refuse();
}
