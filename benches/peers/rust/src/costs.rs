//! What one piece of work costs: microseconds of thread CPU.

const ROUNDS: usize = 21;
const ROUND_NANOSECONDS: u64 = 4_000_000;

fn thread_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the kernel to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Median of rounds long enough for the clock, because a busy machine only ever adds.
pub fn microseconds(mut sign: impl FnMut()) -> f64 {
    let mut round = |times: u64| {
        let start = thread_nanoseconds();
        (0..times).for_each(|_| sign());
        thread_nanoseconds() - start
    };
    let mut times = 1;
    while round(times) < ROUND_NANOSECONDS {
        times *= 2;
    }
    let mut each: Vec<f64> = (0..ROUNDS).map(|_| round(times) as f64 / times as f64 / 1e3).collect();
    each.sort_by(f64::total_cmp);
    each[ROUNDS / 2]
}
