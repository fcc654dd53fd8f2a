//! The presets, from the front door to whoever judges them: the real server, the official client, or a strict fake.

mod front;

mod cometchat;
mod ejabberd;
mod identity_hash;
mod intercom;
mod liveblocks;
mod nats;
mod sendbird;
mod synapse;
mod synapse_jwt;
mod zendesk;
