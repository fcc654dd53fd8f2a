//! Open-loop load: `RATE` requests a second for `SECS` seconds over `CONNECTIONS` keep-alive connections.
//!
//! Each request has its planned instant, and its latency counts from there: a server that stalls is charged for every
//! request that should have come meanwhile. Where a connection was free in time, it counts from when the timer woke it:
//! the millisecond of a timer is the generator's own. The first `SKIP` seconds stay out of the latencies (cold users), not out of
//! the failures. A connection that the server ends in the middle of a request is a failure too.

use std::{
    io::{Error, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sidemint_peers::{Outcome, run, setting};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request that took longer than this waited for the provider: a warm one takes a tenth of it at worst.
const SLOW: Duration = Duration::from_millis(15);

struct Plan {
    start: Instant,
    rate: u64,
    total: u64,
    users: u64,
    skip: u64,
    next: AtomicU64,
}

impl Plan {
    /// The next request nobody took yet: its number and its instant.
    fn take(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Relaxed);
        let due = self.start + Duration::from_nanos(number * 1_000_000_000 / self.rate);
        (number < self.total).then_some((number, due))
    }

    /// A user drawn at random, the same ones in every run.
    fn user(&self, number: u64) -> u64 {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed ^ (mixed >> 32)) % self.users
    }
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    failed: u64,
    least_life_ms: Option<i64>,
}

struct Client {
    target: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect() -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", setting::<u16>("PORT", 9000))).await?;
        stream.set_nodelay(true)?;
        let target = setting("TARGET", "/api/chat/session".to_owned());
        Ok(Self { target, stream, buffer: Vec::with_capacity(8192) })
    }

    /// Head and body of the answer for one user.
    async fn ask(&mut self, user: u64) -> std::io::Result<(String, String)> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-User: user_{user:06}\r\n\
             X-Forwarded-Name: User Number {user}\r\nX-Forwarded-Email: user{user}@acme.example\r\n\r\n",
            self.target
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&self.buffer);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= content_length(head)?
            {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
    }
}

fn content_length(head: &str) -> std::io::Result<usize> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| Error::other("no content-length"))
}

/// What is left of the token's life as it arrives.
fn life_ms(body: &str) -> Option<i64> {
    let (_, rest) = body.split_once(r#""expiresAt":""#)?;
    let expires_at: Timestamp = rest.split('"').next()?.parse().ok()?;
    Some(expires_at.as_millisecond() - Timestamp::now().as_millisecond())
}

async fn work(plan: Arc<Plan>) -> Outcome<Seen> {
    let mut client = Client::connect().await?;
    let mut seen = Seen::default();
    while let Some((number, due)) = plan.take() {
        let mut since = due;
        if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
            since = Instant::now();
        }
        let answer = client.ask(plan.user(number)).await;
        if number >= plan.skip {
            seen.latencies.push(since.elapsed());
        }
        match answer {
            Ok((head, body)) if head.starts_with("HTTP/1.1 200") => {
                let least = seen.least_life_ms.into_iter().chain(life_ms(&body)).min();
                seen.least_life_ms = least;
            }
            Ok(_) => seen.failed += 1,
            Err(_) => {
                seen.failed += 1;
                client = Client::connect().await?;
            }
        }
    }
    Ok(seen)
}

fn report(mut all: Seen) {
    all.latencies.sort_unstable();
    let last = all.latencies.len() - 1;
    let quantile = |q: f64| all.latencies[(last as f64 * q) as usize].as_secs_f64() * 1e3;
    let report = serde_json::json!({
        "answers": all.latencies.len(),
        "failed": all.failed,
        "p50": quantile(0.5),
        "p99": quantile(0.99),
        "p999": quantile(0.999),
        "slow": all.latencies.iter().filter(|latency| **latency > SLOW).count(),
        "least_life_ms": all.least_life_ms,
    });
    println!("{report}");
}

fn main() -> Outcome {
    run(async {
        let rate = setting("RATE", 1000);
        let plan = Arc::new(Plan {
            start: Instant::now() + Duration::from_millis(50),
            rate,
            total: rate * setting("SECS", 10),
            users: setting("USERS", 100),
            skip: rate * setting("SKIP", 0),
            next: AtomicU64::new(0),
        });
        let connections = setting("CONNECTIONS", 64);
        let workers: Vec<_> = (0..connections).map(|_| tokio::spawn(work(plan.clone()))).collect();
        let mut all = Seen::default();
        for worker in workers {
            let seen = worker.await??;
            all.latencies.extend(seen.latencies);
            all.failed += seen.failed;
            all.least_life_ms = all.least_life_ms.into_iter().chain(seen.least_life_ms).min();
        }
        report(all);
        Ok(())
    })
}
