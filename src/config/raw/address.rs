//! The address of a listener as text: `host:port`, or `unix:/path`.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// An address as written. A port alone is a number to TOML, so the type says what to write in its place.
#[derive(Debug)]
pub(in crate::config) struct Address(pub(in crate::config) String);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Address;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("IP and port such as \"127.0.0.1:8080\", or \"unix:/path\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                Ok(Address(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
