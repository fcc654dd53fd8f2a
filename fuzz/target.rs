//! The program of every target: cargo tells each under which name it is built.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sidemint::fuzzing::run(env!("CARGO_BIN_NAME"), bytes));
