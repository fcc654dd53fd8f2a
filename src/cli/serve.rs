//! `sidemint serve`: starts the service, heeds signals, and ends when requests in hand are answered.

use std::io;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Failure, blueprint, blueprint_with_all_teams, runtime};
use crate::app::{App, Blueprint, Ended, StartError, raise_descriptor_limit};
use crate::config::{Environment, Sources};
use crate::lifecycle::{Lifecycle, Supervisor};
use crate::secrets::watch::Nudge;
use crate::telemetry;

/// The last lines are waited for so long, and no longer: the output may be read by no program.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// End the start where the file of a team has mistakes, instead of answering 503 on that team's hosts
    #[arg(long)]
    strict_teams: bool,
}

/// The signals that the service heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    raise_descriptor_limit();
    let failed = |error: io::Error| Failure::Running(error.to_string());
    // This thread listens to signals and does nothing else, so they are heeded whatever is slow or stuck.
    let listening = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let outcome = {
        let _context = listening.enter();
        Signals::take().map_err(failed).and_then(|signals| serve(&listening, signals, options, sources, environment))
    };
    // What is still being read is not waited for.
    listening.shutdown_background();
    outcome
}

fn serve(
    listening: &tokio::runtime::Runtime,
    mut signals: Signals,
    options: &Options,
    sources: &Sources,
    environment: &Environment,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Running(error.to_string());
    let draw = if options.strict_teams { blueprint_with_all_teams } else { blueprint };
    let (sources, own) = (sources.clone(), environment.clone());
    let Some(blueprint) = listening.block_on(signals.wait(move || draw(&sources, &own)))? else {
        return Ok(());
    };
    let dropped = blueprint.metrics().process.log_lines_dropped();
    let log = telemetry::start(&blueprint.config().log, environment, dropped).map_err(failed)?;
    let workers = runtime(blueprint.config().server.workers)?;
    let app = {
        let _context = workers.enter();
        App::bind(blueprint, log.clone()).map_err(|error| match error {
            StartError::Mistake(mistake) => Failure::Usage(mistake.to_string()),
            StartError::Failed(error) => failed(error),
        })?
    };
    let (front, ops) = app.addresses().map_err(failed)?;
    tracing::info!(%front, %ops, version = env!("CARGO_PKG_VERSION"), "serving");
    {
        let _context = workers.enter();
        tell_supervisor(environment, app.lifecycle());
    }
    let (nudge, stop) = (app.nudge(), CancellationToken::new());
    let running = workers.spawn(app.run(stop.clone().cancelled_owned()));
    let ended = listening.block_on(signals.heed(running, &nudge, &stop))?;
    workers.shutdown_background();
    match ended {
        Ended::Drained => tracing::info!("stopped"),
        Ended::Failed => tracing::error!("stopped, because the queue could not go on"),
        Ended::Cut(left) => tracing::warn!(left, "stopped; the drain deadline cut what was left"),
    }
    log.flush(LAST_LINES); // T-61: last lines
    if ended == Ended::Failed {
        return Err(Failure::Running("the queue of webhooks could not go on; see the log".to_owned()));
    }
    Ok(())
}

/// Where systemd, or a program like it, started the process, it is told how the service is.
fn tell_supervisor(environment: &Environment, lifecycle: &Lifecycle) {
    let Some(address) = environment.get("NOTIFY_SOCKET") else { return };
    match Supervisor::at(address) {
        Ok(supervisor) => supervisor.follow(lifecycle),
        Err(error) => tracing::warn!(%error, "NOTIFY_SOCKET: the supervisor is not told how the service is"),
    }
}

impl Signals {
    /// From now on they end nothing by themselves. A signal is held back while its handler is installed: one that came
    /// between the handler and its entry in the list of the library would be lost.
    fn take() -> io::Result<Self> {
        let held: SigSet = [Number::SIGTERM, Number::SIGINT, Number::SIGHUP].into_iter().collect();
        held.thread_block()?;
        let taken = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        held.thread_unblock()?;
        Ok(taken)
    }

    /// Waits for the blueprint, which may have to wait for files; `None` where the service is to end before that.
    async fn wait(
        &mut self,
        draw: impl FnOnce() -> Result<Blueprint, Failure> + Send + 'static,
    ) -> Result<Option<Blueprint>, Failure> {
        let drawing = tokio::task::spawn_blocking(draw);
        tokio::select! {
            _ = self.terminate.recv() => Ok(None), // T-62: terminated at start
            _ = self.interrupt.recv() => Ok(None),
            drawn = drawing => drawn.map_err(|error| Failure::Running(error.to_string()))?.map(Some),
        }
    }

    /// Waits for the end of the service. SIGTERM and SIGINT begin it, SIGHUP reads secrets and keys again.
    async fn heed(
        mut self,
        mut running: JoinHandle<Ended>,
        nudge: &Nudge,
        stop: &CancellationToken,
    ) -> Result<Ended, Failure> {
        loop {
            tokio::select! {
                ended = &mut running => return ended.map_err(|error| Failure::Running(error.to_string())),
                _ = self.terminate.recv() => stop.cancel(),
                _ = self.interrupt.recv() => stop.cancel(),
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: reading secrets and keys again");
                    nudge.now();
                }
            }
        }
    }
}
