//! The doors of the fuzz targets: bytes go in, and what must hold for any bytes is asserted. In no build that is shipped.
//!
//! Each room keeps its own targets beside what they look at, in its module `fuzzing`. `fuzz/` has a program for each of
//! them; the tests below run every target over its seeds and over changed seeds, always the same ones.

use crate::{config, gateway, identity, inbound, provider, session, webhook};

/// A target: bytes in, and a panic where something that always holds does not.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($room:ident::$name:ident,)*) => {
        /// Every target, by name.
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $room::fuzzing::$name)),*];

        #[cfg(test)]
        mod holds {
            $(
                #[test]
                fn $name() {
                    super::seeds::replay(stringify!($name), crate::$room::fuzzing::$name);
                }
            )*
        }
    };
}

targets! {
    config::fragment,
    identity::identity_headers,
    identity::identity_text,
    identity::identity_definition,
    identity::networks,
    identity::rfc2047,
    identity::easy_auth,
    identity::payload,
    identity::xfcc,
    identity::token,
    identity::alb_token,
    identity::key_set,
    inbound::input,
    inbound::origins,
    inbound::check,
    inbound::heads,
    provider::provider_definition,
    provider::template,
    provider::user_id,
    provider::request_signature,
    provider::retry_advice,
    session::answer_headers,
    session::session_key,
    webhook::webhook_request,
    webhook::webhook_signature,
    webhook::webhook_form,
    webhook::webhook_gzip,
    webhook::webhook_field,
    webhook::queue_row,
    gateway::gateway_target,
    gateway::gateway_query,
    gateway::gateway_json,
    gateway::gateway_protobuf,
    gateway::gateway_scrub,
}

/// Runs the target called `name`. Unknown names do nothing; a test holds that there are none.
pub fn run(name: &str, bytes: &[u8]) {
    if let Some((_, target)) = TARGETS.iter().find(|(own, _)| *own == name) {
        target(bytes);
    }
}

#[cfg(test)]
mod seeds {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::{TARGETS, Target};

    /// Changed copies of each seed.
    const CHANGES: usize = 300;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(folder().join("seeds").join(name)).expect(name);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
    }

    /// Numbers that are the same in every run (xorshift64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(end.max(1)).expect("fits")).expect("fits")
        }
    }

    /// Bytes that parsers stumble over.
    const AWKWARD: &[&[u8]] = &[
        b"\0",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b",",
        b";",
        b"=",
        b"%",
        b"%00",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"_",
        b".",
        b"-",
        b"@",
        b"/",
        b":",
        b"::ffff:",
        b"0",
        b"-1",
        b"18446744073709551616",
        b"1e400",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xc2\xa0",
        "\u{200b}".as_bytes(),
        "\u{202e}".as_bytes(),
        "\u{ff52}".as_bytes(),
        b"{{",
        b"}}",
        b"..",
    ];

    /// One to four changes at places and of kinds that `numbers` choose.
    fn changed(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len() + 1);
            let end = (at + numbers.below(16)).min(bytes.len());
            match numbers.below(6) {
                0 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << numbers.below(8);
                    }
                }
                1 => drop(bytes.splice(at..end, AWKWARD[numbers.below(AWKWARD.len())].iter().copied())),
                2 => drop(bytes.splice(at..at, AWKWARD[numbers.below(AWKWARD.len())].iter().copied())),
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece.repeat(1 + numbers.below(20)));
                }
                _ => {
                    let from = numbers.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }

    /// Runs `target` over its seeds, every beginning of them, and changed copies. What fails is printed as text to copy.
    pub(super) fn replay(name: &str, target: Target) {
        let seeds = seeds(name);
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
        let run = |bytes: &[u8]| {
            let holds = std::panic::catch_unwind(|| target(bytes)).is_ok();
            assert!(holds, "{name}: does not hold for b\"{}\"", bytes.escape_ascii());
        };
        run(b"");
        for seed in &seeds {
            (1..=seed.len()).step_by(seed.len() / 64 + 1).for_each(|end| run(&seed[..end]));
            run(seed);
            for _ in 0..CHANGES {
                let other = &seeds[numbers.below(seeds.len())];
                run(&changed(seed, other, &mut numbers));
            }
        }
    }

    #[test]
    fn every_target_has_a_program_and_seeds_and_nothing_else_has() {
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let manifest: toml::Table =
            std::fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest").parse().expect("TOML");
        let programs = manifest["bin"].as_array().expect("programs").iter();
        let programs: BTreeSet<String> = programs.map(|bin| bin["name"].as_str().expect("a name").to_owned()).collect();
        assert_eq!(programs, known);
        let folders = std::fs::read_dir(folder().join("seeds")).expect("seeds");
        let folders: BTreeSet<String> =
            folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        assert_eq!(folders, known);
        for name in known {
            assert!(seeds(&name).len() >= 3, "{name} has too few seeds");
        }
    }

    /// A target that never fails would hold for anything.
    #[test]
    fn what_does_not_hold_is_found() {
        let found = std::panic::catch_unwind(|| replay("networks", |bytes| assert!(!bytes.contains(&b'@'))));
        assert!(found.is_err());
    }
}
