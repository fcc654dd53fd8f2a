//! `sidemint serve`.

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, blueprint, runtime};
use crate::app::{App, Ended, raise_descriptor_limit};
use crate::config::{Environment, Sources};
use crate::secrets::watch::Nudge;
use crate::telemetry;

#[expect(clippy::disallowed_methods, reason = "the service itself: it is waited for here")]
pub(super) fn run(sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    raise_descriptor_limit();
    let blueprint = blueprint(sources, environment)?;
    telemetry::install(&blueprint.config().log).map_err(Failure::Usage)?;
    let runtime = runtime(blueprint.config().server.workers)?;
    let failed = |error: std::io::Error| Failure::Running(error.to_string());
    let ended = runtime.block_on(async {
        let app = App::bind(blueprint, Box::new(std::io::stdout())).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let hangup = signal(SignalKind::hangup()).map_err(failed)?;
        // Who reads this line may send signals at once, so they are taken by now.
        let (front, ops) = app.addresses().map_err(failed)?;
        tracing::info!(%front, %ops, version = env!("CARGO_PKG_VERSION"), "serving");
        app.lifecycle().spawn(reload_on(hangup, app.nudge(), app.lifecycle().draining().clone()));
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        // On a worker, not on this thread: connections are spawned beside it, not handed over.
        tokio::spawn(app.run(shutdown)).await.map_err(|error| Failure::Running(error.to_string()))
    })?;
    runtime.shutdown_background();
    match ended {
        Ended::Drained => tracing::info!("stopped"),
        Ended::Cut(left) => tracing::warn!(left, "stopped; the drain deadline cut what was left"),
    }
    Ok(())
}

/// SIGHUP reads secrets and keys again.
async fn reload_on(mut hangup: tokio::signal::unix::Signal, nudge: Nudge, stop: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                tracing::info!("SIGHUP: reading secrets and keys again");
                nudge.now();
            }
            () = stop.cancelled() => return,
        }
    }
}
