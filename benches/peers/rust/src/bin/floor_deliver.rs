//! What delivering costs at least: `EVENTS` posts of `BYTES` bytes to `APP` by hyper's client, 16 at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sidemint_peers::{Outcome, hooks::body, run, setting};

fn main() -> Outcome {
    run(async {
        let (events, bytes) = (setting("EVENTS", 1000_u64), setting("BYTES", 2048));
        let app: String = setting("APP", "http://127.0.0.1:9000/".to_owned());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let (next, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let workers: Vec<_> = (0..16)
            .map(|_| {
                let (client, next, app) = (client.clone(), next.clone(), app.clone());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= events {
                            return Outcome::Ok(());
                        }
                        let request = Request::post(&app).header("content-type", "application/json");
                        let answer = client.request(request.body(Full::new(body(number, bytes).into()))?).await?;
                        answer.into_body().collect().await?;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await??;
        }
        println!("{}", serde_json::json!({ "seconds": start.elapsed().as_secs_f64() }));
        Ok(())
    })
}
