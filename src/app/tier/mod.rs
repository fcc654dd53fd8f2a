//! The tier that replicas share, where the configuration names one, or where a caller brings its own.

pub(super) mod budgets;

use std::sync::Arc;
use std::time::Duration;

use super::{Blueprint, readiness};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::definition::Mistake;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::shared::{Away, Enter, Event, Fence, Redis, SessionName, Shared, Tier, TierTime};

/// How long a command waits for the tier, and how long from one try to the next.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// What is asked, and what answers there.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) shared: Option<Arc<Shared>>,
    redis: Option<Arc<Redis>>,
}

impl Drawn {
    /// The tier of the configuration; `brought` answers in its place.
    pub(super) fn draw(
        config: &Config,
        brought: Option<Arc<dyn Tier>>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let Some(own) = &config.shared else { return Self::default() };
        let redis = brought.is_none().then(|| Arc::new(Redis::new(own)));
        let Some(tier) = brought.or_else(|| redis.clone().map(|redis| -> Arc<dyn Tier> { redis })) else {
            return Self::default();
        };
        let fault = |mistake: Mistake| ConfigError::at(own.origin.clone(), mistake.within("cache.shared"));
        let shared = Shared::new(own, tier, Arc::clone(clock), metrics);
        let shared = shared.map_err(|mistakes| errors.extend(mistakes.into_iter().map(fault))).ok();
        Self { shared, redis }
    }

    /// Connects in the background.
    pub(super) fn start(&self, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
        self.redis.iter().for_each(|redis| redis.start(clock, lifecycle));
    }

    /// Objects to readiness until the tier answers, and not for long.
    pub(super) fn object(&self, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
        if let Some(shared) = self.shared.as_ref().filter(|_| self.redis.is_some()) {
            readiness::when_shared(shared, clock, lifecycle);
        }
    }
}

impl Blueprint {
    /// Denies a user for so long on all replicas, or allows the user again where there is no span: for the command line. `None`
    /// where replicas share no tier.
    pub async fn deny(
        &self,
        chat_subject: &str,
        span: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Option<Result<(), Away>> {
        let (shared, redis) = (self.tier.shared.as_ref()?, self.tier.redis.as_ref()?);
        let lifecycle = Lifecycle::new();
        redis.start(&clock, &lifecycle);
        let names = shared.names();
        let user = names.user("", chat_subject);
        let name = SessionName { user: user.clone(), question: names.question(&[]) };
        // It looks, and takes nothing: what is wanted is the tier's time, because clocks are not compared.
        let look = Enter { name, account: names.account(&[]), lease: None, known: Fence::NONE, rate: None };
        let tell = async || {
            let time = redis.enter(&look).await?.time;
            let until = span.map_or(TierTime::default(), |span| time.plus(span));
            redis.tell(&Event::Denied(user.clone(), until)).await
        };
        let told = async {
            loop {
                match tell().await {
                    // There is no connection yet.
                    Err(Away::Lost) => clock.sleep_until(clock.moment().plus(RETRY)).await,
                    told => return told.map(drop),
                }
            }
        };
        let deadline = clock.moment().plus(PATIENCE);
        let told = tokio::select! {
            told = told => told,
            () = clock.sleep_until(deadline) => Err(Away::Timeout),
        };
        lifecycle.leave();
        Some(told)
    }
}
