//! The definitions that ship with the binary.

/// Name and text of one.
macro_rules! preset {
    ($name:literal) => {
        ($name, include_str!(concat!("../../presets/", $name, ".toml")))
    };
}

/// All of them: name and text.
pub const PRESETS: &[(&str, &str)] = &[
    preset!("ably"),
    preset!("ably-token-request"),
    preset!("amba"),
    preset!("centrifugo"),
    preset!("centrifugo-subscription"),
    preset!("cometchat"),
    preset!("ejabberd"),
    preset!("emb-chat"),
    preset!("firebase"),
    preset!("identity-hash"),
    preset!("intercom"),
    preset!("liveblocks"),
    preset!("livekit"),
    preset!("local"),
    preset!("nats"),
    preset!("pusher"),
    preset!("pusher-channel"),
    preset!("sendbird"),
    preset!("sendsar"),
    preset!("signature-list"),
    preset!("slack"),
    preset!("standard-webhooks"),
    preset!("stream"),
    preset!("svix"),
    preset!("synapse"),
    preset!("synapse-jwt"),
    preset!("talkjs"),
    preset!("techsup-io"),
    preset!("twilio"),
    preset!("zendesk"),
];
