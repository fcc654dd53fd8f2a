//! The one way to standard output. Lines wait in a bounded queue for a thread of their own, so nothing that serves ever
//! waits for the reader of the log. Where the queue is full, lines are dropped, counted, and told of later (T-61).

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::format::Format;
use crate::clock::Clock;
use crate::metrics::Counter;

/// Bytes that wait at most. Twice as much is held while a batch of this size cannot be written.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes after which the writer waits for no more lines.
const BATCH: usize = 16 * 1024;
/// A request line waits this long at most for others to be written with.
const GATHER: Duration = Duration::from_millis(200);
/// An output that would block is tried again after this time.
const RETRY: Duration = Duration::from_millis(50);

/// Takes lines and never waits; cheap to clone. Its thread ends with the last clone.
#[derive(Clone)]
pub struct LogQueue {
    shared: Arc<Shared>,
    _end: Arc<End>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something has been written, or given up.
    emptied: Condvar,
    dropped: Counter,
    format: Format,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Lines that found no place behind those that wait.
    dropped: u64,
    /// Whether to write now, without waiting for more.
    urgent: bool,
    ended: bool,
    /// Bytes taken so far, and those that are done with.
    taken: u64,
    done: u64,
}

/// Ends the thread when it is dropped.
struct End(Arc<Shared>);

impl LogQueue {
    /// A queue whose thread writes to `out`. Lines that are lost are counted in `dropped`, and told of in `format`.
    pub fn start(
        out: Box<dyn io::Write + Send>,
        format: Format,
        clock: Arc<dyn Clock>,
        dropped: Counter,
    ) -> io::Result<Self> {
        let (state, filled, emptied) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { state, filled, emptied, dropped, format });
        let writer = Writer { shared: Arc::clone(&shared), out, clock, torn: false, untold: 0 };
        std::thread::Builder::new().name("log".to_owned()).spawn(|| writer.run())?;
        Ok(Self { _end: Arc::new(End(Arc::clone(&shared))), shared })
    }

    /// How lines look.
    pub(super) fn format(&self) -> Format {
        self.shared.format
    }

    /// Takes a whole line, or drops it. One that is not `urgent` is written together with others.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.shared.state.lock();
        // T-61: bounded queue
        if state.lines.len().saturating_add(line.len()) > MOST_BYTES {
            state.dropped = state.dropped.saturating_add(1);
            drop(state);
            self.shared.dropped.inc();
            return;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        state.taken = state.taken.saturating_add(len(line));
        let urgent = urgent || state.lines.len() >= BATCH;
        // Waking is a call of the system: once when there is something, and once when it must not wait.
        let wakes = first || (urgent && !state.urgent);
        state.urgent |= urgent;
        drop(state);
        if wakes {
            self.shared.filled.notify_one();
        }
    }

    /// Waits until all lines so far are written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let mut state = self.shared.state.lock();
        state.urgent = true;
        self.shared.filled.notify_one();
        let until = state.taken;
        let _in_time = self.shared.emptied.wait_while_for(&mut state, |state| state.done < until, limit);
    }
}

impl Shared {
    /// Waits for lines, and exchanges them for the empty `batch`. Tells how many were dropped behind them; `None` at the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.state.lock();
        self.filled.wait_while(&mut state, |state| state.lines.is_empty() && !state.ended);
        let _gathered = self.filled.wait_while_for(&mut state, |state| !state.urgent && !state.ended, GATHER);
        if state.lines.is_empty() && state.ended {
            return None;
        }
        state.urgent = false;
        std::mem::swap(batch, &mut state.lines);
        Some(std::mem::take(&mut state.dropped))
    }

    fn finish(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.done = state.done.saturating_add(bytes);
        drop(state);
        self.emptied.notify_all();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.filled.notify_one();
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    out: Box<dyn io::Write + Send>,
    clock: Arc<dyn Clock>,
    /// Whether the output ends within a line.
    torn: bool,
    /// Lines that were lost, and not told of yet.
    untold: u64,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(dropped) = self.shared.take(&mut batch) {
            if self.torn {
                self.put(b"\n");
            }
            let lost = self.put(&batch);
            self.shared.dropped.inc_by(lost);
            self.untold = self.untold.saturating_add(dropped).saturating_add(lost);
            if self.untold > 0 && lost == 0 {
                self.tell();
            }
            self.shared.finish(len(&batch));
            batch.clear();
            // After a time without a reader, the memory is given back.
            batch.shrink_to(2 * BATCH);
        }
    }

    fn tell(&mut self) {
        let now = self.clock.now();
        let lines = ("lines", self.untold);
        let line = self.shared.format.event(
            now,
            "sidemint::telemetry",
            "log lines were lost: the log was not read fast enough",
            lines,
        );
        if self.put(line.as_bytes()) == 0 {
            self.untold = 0;
        }
    }

    /// Writes, and tells how many lines it could not. A closed output is no reason to stop serving.
    fn put(&mut self, lines: &[u8]) -> u64 {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => break,
                Ok(written) => {
                    let (done, left) = rest.split_at_checked(written).unwrap_or((rest, &[]));
                    self.torn = !done.ends_with(b"\n");
                    rest = left;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the output has set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(RETRY),
                Err(_) => break, // T-61: closed log
            }
        }
        len(rest.split(|byte| *byte == b'\n').skip(1))
    }
}

/// Events of `tracing` are whole lines, and urgent.
#[derive(Debug)]
pub struct Events<'q>(&'q LogQueue);

impl<'q> MakeWriter<'q> for LogQueue {
    type Writer = Events<'q>;

    fn make_writer(&'q self) -> Events<'q> {
        Events(self)
    }
}

impl io::Write for Events<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line, true);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn len(items: impl IntoIterator) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogQueue").finish_non_exhaustive()
    }
}

/// A queue, and what its thread has written.
#[cfg(test)]
pub(super) fn for_test(format: Format) -> (LogQueue, tests::Sink) {
    let sink = tests::Sink::default();
    let queue = tests::queue(Box::new(sink.clone()), format);
    (queue, sink)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::metrics::Metrics;

    const TEXT: Format = Format { json: false, colour: false };
    const LOST: &str = "2026-05-30T12:00:00.000Z  WARN sidemint::telemetry: log lines were lost: the log was not read fast enough lines=";

    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(in crate::telemetry) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("text")
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn queue(out: Box<dyn io::Write + Send>, format: Format) -> LogQueue {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_780_142_400_000)));
        let dropped = Metrics::new().expect("metrics").process.log_lines_dropped();
        LogQueue::start(out, format, clock, dropped).expect("a thread")
    }

    /// An output that says when it is asked to write, takes what the test allows, and waits for more of that.
    struct Gate {
        reached: mpsc::Sender<()>,
        allowed: mpsc::Receiver<io::Result<usize>>,
        sink: Sink,
    }

    impl io::Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A test that does not wait for this has no receiver.
            let _waits = self.reached.send(());
            // Where the test will allow nothing any more, all is taken.
            let most = self.allowed.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.sink.write(&bytes[..most])
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue whose output waits, and what it waits for.
    struct Gated {
        queue: LogQueue,
        reached: mpsc::Receiver<()>,
        allow: mpsc::Sender<io::Result<usize>>,
        sink: Sink,
    }

    fn gated() -> Gated {
        let ((allow, allowed), (tell, reached)) = (mpsc::channel(), mpsc::channel());
        let sink = Sink::default();
        let gate = Gate { reached: tell, allowed, sink: sink.clone() };
        Gated { queue: queue(Box::new(gate), TEXT), reached, allow, sink }
    }

    /// T-61: a thread with a line never waits, the memory has an end, and what was lost is counted and told in its place.
    #[test]
    fn lines_beyond_the_bound_are_dropped_counted_and_told_once() {
        let Gated { queue, reached, allow, sink } = gated();
        queue.push(b"first\n", true);
        reached.recv().expect("the thread has taken the first line");
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let most = MOST_BYTES / line.len();
        for _ in 0..3 * most {
            queue.push(&line, true);
        }
        assert_eq!(queue.shared.state.lock().lines.len(), most * line.len());
        assert_eq!(queue.shared.dropped.get(), u64::try_from(2 * most).expect("a number"));
        queue.flush(Duration::from_millis(1));
        drop(allow);
        queue.flush(Duration::MAX);
        queue.push(b"after\n", true);
        queue.flush(Duration::MAX);
        let kept = String::from_utf8(line.repeat(most)).expect("text");
        assert!(sink.text() == format!("first\n{kept}{LOST}{}\nafter\n", 2 * most));
    }

    /// T-61: a closed output is no reason to stop, and the next line begins where a line begins.
    #[test]
    fn an_output_that_fails_costs_the_lines_that_it_did_not_take() {
        let Gated { queue, allow, sink, .. } = gated();
        let broken = || Err(io::Error::from(ErrorKind::BrokenPipe));
        for step in [Ok(8), Err(io::Error::from(ErrorKind::Interrupted)), broken()] {
            allow.send(step).expect("the thread is there");
        }
        queue.push(b"first\nsecond\nthird\n", true);
        queue.flush(Duration::MAX);
        assert_eq!((sink.text().as_str(), queue.shared.dropped.get()), ("first\nse", 2));
        allow.send(Err(io::Error::from(ErrorKind::WouldBlock))).expect("the thread is there");
        drop(allow);
        queue.push(b"fourth\n", false);
        queue.flush(Duration::MAX);
        assert_eq!(sink.text(), format!("first\nse\nfourth\n{LOST}2\n"));
    }

    #[test]
    fn lines_keep_their_order_and_the_last_ones_are_written() {
        let (queue, sink) = for_test(TEXT);
        for n in 0..2000 {
            queue.push(format!("{n}\n").as_bytes(), n % 3 == 0);
        }
        queue.flush(Duration::MAX);
        let expected = (0..2000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        assert_eq!(sink.text(), expected);
    }
}
