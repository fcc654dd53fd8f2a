//! The usual cache: a request that finds its session past 80 % of its life is served, and refreshes it behind itself.
//!
//! It is here for its count of mints: refreshing by the clock may cost a little more, and the tail rows say how much.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sidemint_peers::{Outcome, json, provider::Provider, refused, run, serve, setting, user};

struct Entry {
    answer: Bytes,
    born: Instant,
    refreshing: AtomicBool,
}

struct Cache {
    provider: Provider,
    lifetime: Duration,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

impl Cache {
    fn get(&self, id: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(id).cloned()
    }

    async fn mint(&self, id: &str, name: &str) -> Outcome<Bytes> {
        let born = Instant::now();
        let seconds = self.lifetime.as_secs();
        let answer = self.provider.session(id, name, seconds).await?;
        let entry = Arc::new(Entry { answer: answer.clone(), born, refreshing: AtomicBool::new(false) });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(id.to_owned(), entry);
        Ok(answer)
    }
}

async fn session(cache: Arc<Cache>, headers: &HeaderMap) -> Outcome<Bytes> {
    let (id, name) = user(headers).ok_or("no user")?;
    let Some(entry) = cache.get(id).filter(|e| e.born.elapsed() < cache.lifetime) else {
        return cache.mint(id, name).await;
    };
    let old = entry.born.elapsed() >= cache.lifetime * 8 / 10;
    if old && !entry.refreshing.swap(true, Relaxed) {
        let (id, name, entry) = (id.to_owned(), name.to_owned(), entry.clone());
        tokio::spawn(async move {
            if cache.mint(&id, &name).await.is_err() {
                entry.refreshing.store(false, Relaxed);
            }
        });
    }
    Ok(entry.answer.clone())
}

fn main() -> Outcome {
    run(async {
        let cache = Arc::new(Cache {
            provider: Provider::new()?,
            lifetime: Duration::from_secs(setting("TTL", 3600)),
            entries: Mutex::default(),
        });
        serve(move |request| {
            let cache = cache.clone();
            async move {
                session(cache, request.headers())
                    .await
                    .map(json)
                    .unwrap_or_else(|_| refused(StatusCode::SERVICE_UNAVAILABLE))
            }
        })
        .await
    })
}
