//! Judges: small programs below `tests/judges` that ask the official library of a chat system what it thinks.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Below the project's folder for installed parts.
pub fn tool(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools").join(path);
    assert!(file.exists(), "{} is missing: run tests/install-parts", file.display());
    file
}

/// Gives a judge one document, and what it answers. Waits for it where it stands: a test in which the judge asks a server
/// of that same test has more than one thread.
pub fn judge(program: &str, input: Value) -> Value {
    let mut command = match program.rsplit_once('.') {
        Some((_, "py")) => {
            let mut python = Command::new(tool("venv/bin/python"));
            // No caches beside the sources.
            python.arg("-B");
            python
        }
        _ => Command::new("node"),
    };
    let mut child = command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges").join(program))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start (run tests/install-parts): {error}"));
    // One that does not read its input, or ends before, tells why below.
    let _closed = child.stdin.take().expect("a pipe").write_all(input.to_string().as_bytes());
    let output = child.wait_with_output().expect("ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed (a package missing? run tests/install-parts): {complaint}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{program}: {error}: {complaint}"))
}
