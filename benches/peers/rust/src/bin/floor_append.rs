//! What keeping events costs a disk at least: `BYTES` bytes appended to `FILE` in `SYNCS` writes, each followed by fdatasync.

use std::{fs::File, io::Write, time::Instant};

use sidemint_peers::{Outcome, setting};

fn main() -> Outcome {
    let syncs = setting("SYNCS", 1000_usize).max(1);
    let part = vec![b'x'; (setting("BYTES", 2_048_000_usize) / syncs).max(1)];
    let path: String = setting("FILE", "append.bin".to_owned());
    let mut file = File::create(&path)?;
    let (start, mut each) = (Instant::now(), Vec::with_capacity(syncs));
    for _ in 0..syncs {
        let since = Instant::now();
        file.write_all(&part)?;
        file.sync_data()?;
        each.push(since.elapsed());
    }
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    each.sort_unstable();
    let quantile = |q: f64| each[((syncs - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!("{}", serde_json::json!({ "seconds": seconds, "p50": quantile(0.5), "p99": quantile(0.99) }));
    Ok(())
}
