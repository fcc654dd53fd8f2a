//! Fakes: strict where the real system is strict, and they remember what they were asked.

pub mod sendsar;
