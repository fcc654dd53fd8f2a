//! Replicas of one fleet in one process, on a tier in memory and one clock, before a provider whose tokens come when the test
//! says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sidemint::clock::{Clock as _, ManualClock, Moment};
use sidemint::config::Environment;
use sidemint::secrets::Secret;
use sidemint::shared::{
    Asked, Away, Beat, Beaten, DeniedPage, End, Enter, Entered, Event, Fence, LEASE, Land, Landed, LeaseToken, Model,
    Names, Outcome, SessionName, Take, Taken, Tier,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::client::Answer;
use crate::eventually::{as_time_passes, eventually};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{SESSION, Service, clock, config};

/// Time goes on in steps of this.
const STEP: Duration = Duration::from_millis(10);

/// The way of one replica to the tier.
#[derive(Debug)]
pub struct Way {
    model: Arc<Model>,
    cut: AtomicBool,
    silent: AtomicBool,
    /// Whoever asks for a session gets the one that was landed first.
    pub swaps: AtomicBool,
    /// It hears of no event.
    pub deaf: AtomicBool,
    /// Another holds every lease.
    pub hogs: AtomicBool,
    first: std::sync::Mutex<Option<Land>>,
}

impl Way {
    /// What was landed first.
    pub fn landed(&self) -> Option<Land> {
        self.first.lock().unwrap().clone()
    }

    fn on<'a, T: Send + 'a>(&self, asked: impl FnOnce() -> Asked<'a, T>) -> Asked<'a, T> {
        if self.silent.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.cut.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(Away::Lost)));
        }
        asked()
    }
}

impl Tier for Way {
    fn enter<'a>(&'a self, ask: &'a Enter) -> Asked<'a, Entered> {
        let first = self.landed().map(|land| land.name);
        if let Some(name) = first.filter(|_| self.swaps.load(Ordering::SeqCst)) {
            let ask = Enter { name, ..ask.clone() };
            return Box::pin(async move { self.model.enter(&ask).await });
        }
        if self.hogs.load(Ordering::SeqCst) {
            let busy = Outcome::Busy(LEASE);
            return Box::pin(
                async move { self.model.enter(ask).await.map(|entered| Entered { outcome: busy, ..entered }) },
            );
        }
        self.on(|| self.model.enter(ask))
    }

    fn land<'a>(&'a self, ask: &'a Land) -> Asked<'a, Landed> {
        self.first.lock().unwrap().get_or_insert_with(|| ask.clone());
        self.on(|| self.model.land(ask))
    }

    fn keep<'a>(&'a self, name: &'a SessionName, lease: &'a LeaseToken) -> Asked<'a, bool> {
        self.on(|| self.model.keep(name, lease))
    }

    fn end<'a>(&'a self, ask: &'a End) -> Asked<'a, Fence> {
        self.on(|| self.model.end(ask))
    }

    fn tell<'a>(&'a self, event: &'a Event) -> Asked<'a, u64> {
        self.on(|| self.model.tell(event))
    }

    fn take<'a>(&'a self, ask: &'a Take) -> Asked<'a, Taken> {
        self.on(|| self.model.take(ask))
    }

    fn beat<'a>(&'a self, ask: &'a Beat) -> Asked<'a, Beaten> {
        if let Some(number) = ask.seen.filter(|_| self.deaf.load(Ordering::SeqCst)) {
            let beat = async move {
                let beaten = self.model.beat(ask).await?;
                Ok(Beaten { number, events: Vec::new(), ..beaten })
            };
            return Box::pin(beat);
        }
        self.on(|| self.model.beat(ask))
    }

    fn denied(&self, page: u64) -> Asked<'_, DeniedPage> {
        self.on(|| self.model.denied(page))
    }
}

/// One replica.
pub struct Replica {
    pub service: Arc<Service>,
    pub way: Arc<Way>,
}

/// What a world is made with.
#[derive(Clone, Copy, Default)]
pub struct Plan {
    /// Lines of the definition's `[token]`.
    pub token: &'static str,
    /// Lines of `[cache.shared]`.
    pub shared: &'static str,
    /// Lines of the definition below its steps.
    pub more: &'static str,
    /// `limits.user_rate`.
    pub rate: Option<&'static str>,
    /// Whether tokens wait for [`World::release`].
    pub held: bool,
}

/// The fleet, its tier and its provider.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub model: Arc<Model>,
    pub replicas: Vec<Replica>,
    provider: Fake,
    tokens: Arc<Semaphore>,
    secrets: tempfile::TempDir,
    definition: String,
    shared: &'static str,
    rate: &'static str,
}

/// Routes that ask different questions of one provider: by their lifetime.
pub const ROUTES: [(&str, &str); 4] = [(SESSION, "1h"), ("/two", "50m"), ("/three", "40m"), ("/four", "30m")];

impl World {
    /// So many replicas that are configured alike.
    pub async fn new(replicas: usize, plan: Plan) -> Self {
        let tokens = Arc::new(Semaphore::new(if plan.held { 0 } else { 1_000_000 }));
        let (permits, number) = (Arc::clone(&tokens), AtomicUsize::new(0));
        let provider = Fake::start(move |call: &Call| match call.method.as_str() {
            "DELETE" | "PUT" => Script::json(200, &json!({})),
            _ => {
                let token = format!("tok{}", number.fetch_add(1, Ordering::SeqCst) + 1);
                Script::After(Arc::clone(&permits), Box::new(Script::json(200, &json!({"token": token}))))
            }
        })
        .await;
        let url = provider.base_url();
        let definition = format!(
            "name = \"own\"\nsummary = \"a system of ours\"\n[settings.api_url]\nabout = \"its address\"\nkind = \"url\"\ndefault = \"{url}\"\n\
             [settings.secret]\nabout = \"its secret\"\nsecret = true\nenv = \"OWN_SECRET\"\n\
             [auth]\nbearer = \"secret\"\n\
             [user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"60s\"\non_credential_change = \"drop\"\n\
             [response]\napi_url = \"{{{{ config.api_url }}}}\"\n\
             [upsert]\nremember = \"1h\"\n[[upsert.steps]]\nid = \"upsert\"\nput = \"{{{{ config.api_url }}}}/users\"\n\
             json = {{ user = \"{{{{ user.id }}}}\", name = \"{{{{ user.name }}}}\" }}\n[token]\n{}\n\
             [[token.steps]]\nid = \"mint\"\npost = \"{{{{ config.api_url }}}}/token\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
             token = \"/token\"\nexpires = {{ kind = \"requested\" }}\n{}",
            plan.token, plan.more
        );
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("names"), "01".repeat(32)).unwrap();
        std::fs::create_dir(secrets.path().join("keys")).unwrap();
        std::fs::write(secrets.path().join("keys/a.key"), "02".repeat(32)).unwrap();
        let clock = clock();
        let time: Arc<dyn sidemint::clock::Clock> = Arc::<ManualClock>::clone(&clock);
        let model = Arc::new(Model::new(time));
        let mut world = Self {
            clock,
            model,
            replicas: Vec::new(),
            provider,
            tokens,
            secrets,
            definition,
            shared: plan.shared,
            rate: plan.rate.unwrap_or("none"),
        };
        for _ in 0..replicas {
            world.add(&ROUTES, "secret").await;
        }
        world
    }

    /// One more replica, with these routes and this credential.
    pub async fn add(&mut self, routes: &[(&str, &str)], secret: &str) {
        let route = |(path, ttl): &(&str, &str)| {
            format!(
                "[[routes]]\npath = \"{path}\"\nprovider = \"chat\"\nanswer = \"session\"\nttl = \"{ttl}\"\ndeadline = \"60s\"\n"
            )
        };
        let routes: String = routes.iter().map(route).collect();
        let secrets = self.secrets.path().display();
        let shared = self.shared;
        let rest = format!(
            "{routes}[providers.chat]\npreset = \"own\"\ntimeout = \"60s\"\n[cache.shared]\nurls = [\"redis://127.0.0.1:1\"]\n\
             fleet = \"test\"\nnames_file = \"{secrets}/names\"\nkey_dir = \"{secrets}/keys\"\nexpect_replicas = 4\n{shared}\n"
        );
        let text = config(&rest, &[("limits.user_rate", &format!("\"{}\"", self.rate))]);
        let way = Arc::new(Way {
            model: Arc::clone(&self.model),
            cut: AtomicBool::default(),
            silent: AtomicBool::default(),
            swaps: AtomicBool::default(),
            hogs: AtomicBool::default(),
            deaf: AtomicBool::default(),
            first: std::sync::Mutex::default(),
        });
        let tier: Arc<dyn Tier> = Arc::<Way>::clone(&way);
        let environment = Environment::of([("OWN_SECRET", secret)]);
        let own = [("own", self.definition.as_str())];
        let service = Service::start_on(&text, &environment, Arc::clone(&self.clock), &own, Some(tier)).await;
        let replica = Replica { service: Arc::new(service), way };
        self.until("the tier answers", async || replica.service.metric("sidemint_shared_up").await > 0.5).await;
        self.replicas.push(replica);
    }

    /// Lets time pass until something holds.
    pub async fn until(&self, what: &str, look: impl AsyncFn() -> bool) {
        as_time_passes(&self.clock, STEP, eventually(what, async || look().await)).await;
    }

    pub fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What comes of a request while time passes.
    pub async fn ask(&self, replica: usize, method: &str, path: &str, user: &str) -> Answer {
        let headers = [("X-Forwarded-User", user), ("X-Forwarded-Name", "Ada")];
        as_time_passes(&self.clock, STEP, self.replicas[replica].service.ask(method, path, &headers)).await
    }

    /// The same for a session, while time stands still.
    pub async fn now(&self, replica: usize, user: &str) -> Answer {
        let headers = [("X-Forwarded-User", user), ("X-Forwarded-Name", "Ada")];
        self.replicas[replica].service.ask("GET", SESSION, &headers).await
    }

    /// The token that a replica hands out.
    pub async fn token(&self, replica: usize, user: &str) -> String {
        token(&self.ask(replica, "GET", SESSION, user).await)
    }

    /// A request that waits.
    pub fn asks(&self, replica: usize, path: &'static str, user: &'static str) -> JoinHandle<Answer> {
        let service = Arc::clone(&self.replicas[replica].service);
        tokio::spawn(async move {
            service.ask("GET", path, &[("X-Forwarded-User", user), ("X-Forwarded-Name", "Ada")]).await
        })
    }

    /// Lets a waiting request have its answer while time passes.
    pub async fn answer(&self, asks: JoinHandle<Answer>) -> Answer {
        as_time_passes(&self.clock, STEP, asks).await.unwrap()
    }

    /// Lets so many tokens go.
    pub fn release(&self, tokens: usize) {
        self.tokens.add_permits(tokens);
    }

    fn count(&self, call: &str) -> usize {
        self.provider.asked().iter().filter(|own| *own == call).count()
    }

    pub fn mints(&self) -> usize {
        self.count("POST /token")
    }

    pub fn upserts(&self) -> usize {
        self.count("PUT /users")
    }

    pub fn revocations(&self) -> usize {
        self.provider.asked().iter().filter(|call| call.starts_with("DELETE")).count()
    }

    /// Waits until the provider was asked for so many tokens.
    pub async fn asked_for(&self, tokens: usize) {
        self.until("the provider is asked", async || self.mints() >= tokens).await;
        assert_eq!(self.mints(), tokens);
    }

    /// Two replicas with the same session of ada, the first of the provider's tokens.
    pub async fn with_ada_on_two() -> Self {
        let world = Self::new(2, Plan::default()).await;
        assert_eq!(world.token(0, "ada").await, "tok1");
        world.lands(0, 1.0).await;
        assert_eq!(world.token(1, "ada").await, "tok1");
        world
    }

    /// Waits until so much was put into the tier, by this replica.
    pub async fn lands(&self, replica: usize, values: f64) {
        let line = "sidemint_shared_operations_total{op=\"land\",outcome=\"ok\"}";
        self.replicas[replica].service.metric_reaches(line, values).await;
    }

    /// Lets each replica that reaches the tier hear what there is to hear.
    pub async fn hear(&self) {
        for replica in self.replicas.iter().filter(|own| !own.way.cut.load(Ordering::SeqCst)) {
            let line = "sidemint_shared_operations_total{op=\"beat\",outcome=\"ok\"}";
            let before = replica.service.metric(line).await;
            self.until("two beats", async || replica.service.metric(line).await > before + 1.5).await;
        }
    }

    /// Cuts a replica off, or lets it come back.
    pub async fn cut(&self, replica: usize, cut: bool) {
        let own = &self.replicas[replica];
        own.way.cut.store(cut, Ordering::SeqCst);
        let wanted = if cut { 0.0 } else { 1.0 };
        let shown = async || (own.service.metric("sidemint_shared_up").await - wanted).abs() < 0.1;
        self.until("the replica notices", shown).await;
    }

    /// The tier answers a replica no more, and does not say so.
    pub fn hang(&self, replica: usize) {
        self.replicas[replica].way.silent.store(true, Ordering::SeqCst);
    }

    /// The counter of sessions of one kind, on the first route.
    pub async fn sessions(&self, replica: usize, how: &str) -> f64 {
        let line = format!("sidemint_sessions_total{{how=\"{how}\",route=\"{SESSION}\"}}");
        self.replicas[replica].service.metric(&line).await
    }

    /// What the tier calls a user.
    pub fn names() -> Names {
        Names::new(&Secret::new("01".repeat(32).into_bytes())).unwrap()
    }
}

/// The token of an answer.
pub fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}
