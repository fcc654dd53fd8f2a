//! Whether the sessions of a route fit into headers, found out at start rather than by the first user.

use super::{Form, MAX_HEADER_BYTES, header_bytes, headers};
use crate::definition::Mistake;
use crate::provider::{Minted, Order, Profile};
use crate::session::Plan;

impl Plan {
    /// Says what is wrong, at the key of the route, where the session of an ordinary user is more than proxies take. Where a provider makes the
    /// token, its size is not known before there is one, and only what goes with it is counted.
    pub fn check_headers(&self) -> Result<(), Mistake> {
        let Form::Headers(frame) = &self.form else { return Ok(()) };
        // Where there must be inputs, what they make of a token is not known either.
        let inputs = self.provider.inputs().of_operator(&[]).unwrap_or_default();
        let order = Order {
            profile: Profile {
                subject: "00000000-0000-4000-8000-000000000000",
                name: Some("Alexandra Example"),
                email: Some("alexandra@example.org"),
                ..Profile::default()
            },
            inputs: inputs.iter().map(Option::as_deref).collect(),
            ttl: self.ttl,
            is_known: false,
            origin: crate::trace::Origin::default(),
        };
        let made = if self.provider.is_local() { self.provider.mint_here(&order).ok() } else { None };
        let minted = made.unwrap_or_else(|| Minted {
            token: String::new(),
            expires: None,
            minted: self.provider.now(),
            user_id: order.profile.subject.to_owned(),
            extra: Vec::new(),
            upserted: false,
        });
        let set = headers(frame, &minted, self.provider.api_url(), &order.profile);
        match set.map(|set| header_bytes(&set)) {
            Some(bytes) if bytes > MAX_HEADER_BYTES => Err(Mistake::new(
                "provider",
                format!(
                    "makes sessions that take {bytes} bytes of headers for an ordinary user; at most {MAX_HEADER_BYTES} are sent, \
                 because nginx reads an answer's headers into one page of 4096 bytes, and applications behind a proxy \
                 often take 8190 bytes a header; write fewer or shorter claims, or answer = \"session\""
                ),
            )),
            _ => Ok(()),
        }
    }
}
