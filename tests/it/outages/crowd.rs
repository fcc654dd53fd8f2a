//! Clients that go on asking through a proxy whatever happens behind it, each in a loop on a connection of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;

use crate::client::Answer;
use crate::eventually::eventually;
use crate::harness::SESSION;
use crate::parts::proxies::{Proxy, Users};

/// Between two requests of a client: a pace that leaves the machine to the programs under test.
pub const PACE: Duration = Duration::from_millis(10);

/// Who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user of the application.
    Member(usize),
    /// A visitor of the application.
    Guest,
    /// A user's page, which asks for its session. Every other time it posts.
    Page(usize),
    /// A page of a visitor who has not signed in: the proxy refuses it without asking sidemint.
    Stranger,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub who: Who,
    /// The phase when it was sent.
    pub sent: usize,
    /// The phase when it was answered.
    pub got: usize,
    /// `None` where the proxy closed instead.
    pub answer: Option<Answer>,
}

/// All clients. They end when this is dropped.
pub struct Crowd {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    proxy: Arc<Proxy>,
    phase: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

/// What signs the user of this number in.
pub fn signs_in(users: Users, number: usize) -> (&'static str, String) {
    match users.alice.0 {
        "Authorization" => ("Authorization", format!("Basic {}", STANDARD.encode(format!("member{number}:secret")))),
        name => (name, format!("login=member{number}")),
    }
}

impl Crowd {
    /// Sends them; `of_application` and `of_session` sign members in.
    pub fn gather(proxy: &Arc<Proxy>, all: &[Who], of_application: Users, of_session: Users) -> Self {
        let shared = Arc::new(Shared { proxy: Arc::clone(proxy), phase: AtomicUsize::new(0), seen: Mutex::default() });
        let mut clients = JoinSet::new();
        for who in all {
            let signed_in = match *who {
                Who::Member(number) => Some(signs_in(of_application, number)),
                Who::Page(number) => Some(signs_in(of_session, number)),
                Who::Guest | Who::Stranger => None,
            };
            clients.spawn(Arc::clone(&shared).client(*who, signed_in));
        }
        Self { shared, clients }
    }

    /// How many they are.
    pub fn size(&self) -> usize {
        self.clients.len()
    }

    /// What is sent from now on belongs to phase `number`.
    pub fn enter(&self, number: usize) {
        self.shared.phase.store(number, Ordering::SeqCst);
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How much that is.
    pub fn answers(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Waits until a condition holds for what was seen.
    pub async fn until(&self, what: &str, fits: impl Fn(&[Seen]) -> bool) {
        eventually(what, async || fits(&self.shared.seen.lock().unwrap())).await;
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.shared.proxy.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("[info]")).collect();
            eprintln!("--- the proxy ---\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

impl Shared {
    async fn client(self: Arc<Self>, who: Who, signed_in: Option<(&'static str, String)>) {
        // A page's script says what it takes; without that word some logins send to a sign-in page.
        let accept = matches!(who, Who::Page(_) | Who::Stranger).then_some(("Accept", "application/json"));
        let signed_in = signed_in.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = signed_in.chain(accept).collect();
        let mut visit = self.proxy.visit().await;
        for posts in [matches!(who, Who::Page(_)), false].into_iter().cycle() {
            let sent = self.phase.load(Ordering::SeqCst);
            let path = match who {
                Who::Member(number) => format!("/{sent}/member{number}"),
                Who::Guest => format!("/{sent}/guest"),
                Who::Page(_) | Who::Stranger => SESSION.to_owned(),
            };
            let answer = visit.try_ask(if posts { "POST" } else { "GET" }, &path, &headers).await;
            let got = self.phase.load(Ordering::SeqCst);
            let goes_on = answer.as_ref().is_some_and(|answer| answer.header("connection") != Some("close"));
            self.seen.lock().unwrap().push(Seen { who, sent, got, answer });
            if !goes_on {
                visit = self.proxy.visit().await;
            }
            tokio::time::sleep(PACE).await;
        }
    }
}
