//! A provider that posts `EVENTS` signed events of `BYTES` bytes over `CONNECTIONS` connections, each as soon as its last
//! was answered, or `RATE` a second. `FORGED` makes the proofs wrong, `TARGET` is the path.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sidemint_peers::{
    Outcome,
    hooks::{Kind, body, key},
    run, setting,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Plan {
    start: Instant,
    events: u64,
    bytes: usize,
    rate: u64,
    first: u64,
    forged: bool,
    target: String,
    port: u16,
    next: AtomicU64,
}

async fn work(plan: Arc<Plan>) -> Outcome<(Vec<Duration>, u64)> {
    let (kind, key) = (Kind::of_environment(), key());
    let mut stream = TcpStream::connect(("127.0.0.1", plan.port)).await?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut failed) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let number = plan.next.fetch_add(1, Relaxed);
        if number >= plan.events {
            return Ok((latencies, failed));
        }
        if plan.rate > 0 {
            let due = plan.start + Duration::from_nanos(number * 1_000_000_000 / plan.rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let body = body(plan.first + number, plan.bytes);
        let mut proof = kind.proof(&key, body.as_bytes());
        if plan.forged {
            proof = proof.replace(|letter: char| letter.is_ascii_digit(), "a");
        }
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\n{}: {proof}\r\nContent-Length: {}\r\n\r\n",
            plan.target,
            kind.content_type(),
            kind.header(),
            body.len()
        );
        let since = Instant::now();
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        latencies.push(since.elapsed());
        failed += u64::from(!buffer.starts_with(if plan.forged { b"HTTP/1.1 401" } else { b"HTTP/1.1 200" }));
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn main() -> Outcome {
    run(async {
        let plan = Arc::new(Plan {
            start: Instant::now(),
            events: setting("EVENTS", 1000),
            bytes: setting("BYTES", 2048),
            rate: setting("RATE", 0),
            first: setting("FIRST", 0),
            forged: setting("FORGED", 0) == 1,
            target: setting("TARGET", "/webhooks/chat".to_owned()),
            port: setting("HOOKS", 9000),
            next: AtomicU64::new(0),
        });
        let workers: Vec<_> = (0..setting("CONNECTIONS", 1)).map(|_| tokio::spawn(work(plan.clone()))).collect();
        let (mut latencies, mut failed) = (Vec::new(), 0);
        for worker in workers {
            let (own, failures) = worker.await??;
            latencies.extend(own);
            failed += failures;
        }
        let seconds = plan.start.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
        let (p50, p99) = (quantile(0.5), quantile(0.99));
        println!("{}", serde_json::json!({ "seconds": seconds, "events": latencies.len(), "failed": failed, "p50": p50, "p99": p99 }));
        Ok(())
    })
}
