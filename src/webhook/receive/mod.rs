//! The life of a request: its head is judged before its body is read, both are proven before anything is believed, and the
//! event is kept before it is answered.
//!
//! [`Receiver::admit`] judges a head, and [`Receiver::receive`] proves it with its body. [`room`] bounds what is at work,
//! [`through`] asks the application at once, and [`ended`] lists the ways in which a request ends.

mod counts;
mod ended;
mod ids;
mod memory;
mod room;
mod skew;
mod through;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

pub use ended::{Ended, Refused, Taken};
pub use room::Room;
pub use through::Through;

use super::Webhook;
use super::event::{Event, OrderKey};
use super::refusal::{Reason, Refusal};
use super::scheme::{Examined, Head, Proven};
use super::store::{Kept, Store, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use counts::Counts;
use ids::{Conflict, Ids};
use room::Guest;
use skew::Skew;

/// The trace that the provider's request is a part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What becomes of proven events.
#[derive(Debug)]
pub enum Keeper {
    /// They are kept, and delivered later.
    Store(Arc<dyn Store>),
    /// The application is asked at once.
    Through(Through),
}

/// Receives the events of one webhook.
#[derive(Debug)]
pub struct Receiver {
    webhook: Arc<Webhook>,
    room: Arc<Room>,
    keeper: Keeper,
    /// Headers that the application gets as they came.
    forward: Vec<HeaderName>,
    ids: Ids,
    skew: Skew,
    counts: Counts,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

/// A request whose head is good, and the place that it has.
#[derive(Debug)]
pub struct Admitted {
    examined: Examined,
    guest: Guest,
    most_bytes: usize,
}

impl Admitted {
    /// Bytes of its body at most.
    pub fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Completes when its body comes so slowly that its place was given to another request.
    pub async fn displaced(&self) {
        self.guest.displaced().await;
    }
}

impl Receiver {
    /// Receives for `webhook`, within the `room` of all webhooks.
    pub fn new(
        webhook: &Arc<Webhook>,
        room: &Arc<Room>,
        keeper: Keeper,
        (clock, metrics): (&Arc<dyn Clock>, &Metrics),
        lifecycle: &Lifecycle,
    ) -> Self {
        let config = webhook.config();
        let mut forward = vec![CONTENT_TYPE, TRACEPARENT];
        for name in webhook.scheme().forward().iter().chain(&config.forward) {
            if !forward.contains(name) {
                forward.push(name.clone());
            }
        }
        Self {
            counts: Counts::new(&config.name, metrics),
            webhook: Arc::clone(webhook),
            room: Arc::clone(room),
            keeper,
            forward,
            ids: Ids::default(),
            skew: Skew::default(),
            clock: Arc::clone(clock),
            lifecycle: lifecycle.clone(),
        }
    }

    /// Where the provider posts to.
    pub fn path(&self) -> String {
        self.webhook.config().path()
    }

    /// Counts a request that has ended.
    pub fn count(&self, ended: &Ended, took: Duration) {
        self.counts.ended(ended, took);
    }

    /// Judges a head. What is refused here costs no body and no place.
    pub fn admit(&self, head: &Head<'_>) -> Result<Admitted, Ended> {
        if self.lifecycle.draining().is_cancelled() {
            return Err(Refused::Draining.into());
        }
        let scheme = self.webhook.scheme();
        if let Some(answer) = self.webhook.handshake(head) {
            return Err(answer.map_or_else(Ended::Unproven, Ended::Challenge));
        }
        if *head.method != Method::POST {
            return Err(Refused::Method.into());
        }
        let examined = scheme.examine(head, self.clock.now()).map_err(|reason| self.unproven(head, reason))?;
        if !scheme.takes(head.headers) {
            return Err(Refused::Unsupported.into());
        }
        let most_bytes = self.webhook.most_bytes();
        let declared = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = declared.unwrap_or(most_bytes);
        if bytes > most_bytes {
            return Err(Refused::TooLarge.into());
        }
        let config = self.webhook.config();
        let guest = self.room.enter(&config.name, config.max_in_flight, self.webhook.bytes_of(bytes));
        guest.map(|guest| Admitted { examined, guest, most_bytes }).ok_or_else(|| Refused::Busy.into())
    }

    /// Proves an admitted request with its `body`, and keeps the event.
    pub async fn receive(&self, head: &Head<'_>, admitted: Admitted, body: Bytes) -> Ended {
        let Admitted { examined, guest, .. } = admitted;
        guest.has_come();
        let proven = match self.webhook.prove(&examined, body).await {
            Ok(proven) => proven,
            Err(Refusal::Unproven(reason)) => return Ended::Unproven(reason),
            Err(Refusal::TooLarge) => return Refused::TooLarge.into(),
        };
        self.counts.proven(proven.standing);
        self.note_time(self.webhook.scheme().signed_at(head));
        if let Some(answer) = proven.challenge {
            return Ended::Challenge(answer);
        }
        // The verifiers of the application take bodies for text.
        if std::str::from_utf8(&proven.body).is_err() {
            return Refused::Unsupported.into();
        }
        if !self.is_wanted(proven.event.as_deref()) {
            return Ended::Taken(Taken::Filtered);
        }
        self.note_id(&proven);
        // W-16: no address of a body is called
        self.keep(self.event(head.headers, proven), guest).await
    }

    /// The provider may hang up; the body has its place until it is on disk, or the application has it.
    async fn keep(&self, event: Event, guest: Guest) -> Ended {
        let memory = self.webhook.memory();
        let counted = Box::new(guest); // W-11: counted until kept
        match &self.keeper {
            Keeper::Through(through) => through.ask(event, memory, counted).await,
            Keeper::Store(store) => match store.keep(event, memory, counted).await {
                Ok(Kept::New) => Ended::Taken(Taken::Accepted),
                Ok(Kept::Repeat) => Ended::Taken(Taken::Duplicate),
                Err(StoreError::Full) => Refused::Full.into(),
                Err(StoreError::Failing) => Refused::StoreError.into(),
            },
        }
    }

    fn event(&self, headers: &HeaderMap, proven: Proven) -> Event {
        let passed = |name: &HeaderName| headers.get(name).map(|value| (name.clone(), HeaderValue::clone(value)));
        Event {
            webhook: Arc::clone(&self.webhook.config().name),
            key: proven.key(),
            proof: proven.proof,
            order: proven.order.map(|order| OrderKey::of(&self.webhook.config().name, &order)),
            event: proven.event,
            id: proven.id,
            received: self.clock.now(),
            headers: self.forward.iter().filter_map(passed).collect(),
            body: proven.body,
        }
    }

    /// An event without a name that could be read is wanted: what cannot be judged is not thrown away.
    fn is_wanted(&self, event: Option<&str>) -> bool {
        let wanted = &self.webhook.config().events;
        wanted.is_empty() || event.is_none_or(|event| wanted.iter().any(|pattern| pattern.covers(event)))
    }

    fn unproven(&self, head: &Head<'_>, reason: Reason) -> Ended {
        if matches!(reason, Reason::Stale | Reason::Future) {
            self.note_time(self.webhook.scheme().signed_at(head));
        }
        Ended::Unproven(reason)
    }

    /// Tells when an id comes with another body. Where the proof covers the id, such an event is a repeat and is not
    /// delivered; where it does not, both are.
    fn note_id(&self, proven: &Proven) {
        let Some(id) = &proven.id else { return };
        let Some(Conflict { is_news }) = self.ids.note(id, &proven.body, self.clock.moment()) else { return };
        self.counts.id_conflict();
        if is_news {
            let name = &*self.webhook.config().name;
            let webhook_id = proven.key().webhook_id(name);
            tracing::warn!(name, webhook_id, "an event came under the id of another one, with another body");
        }
    }

    /// Tells how far clocks lie apart, where a request has a time.
    fn note_time(&self, signed: Option<Timestamp>) {
        if let Some(signed) = signed {
            // W-26: skew of clocks
            self.counts.skew(self.skew.note(signed.as_seconds().saturating_sub(self.clock.now().as_seconds())));
        }
    }
}
