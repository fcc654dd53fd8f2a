//! The definitions that ship with the binary.

/// Name and text of one.
macro_rules! preset {
    ($name:literal) => {
        ($name, include_str!(concat!("../presets/", $name, ".toml")))
    };
}

/// All of them: name and text.
pub const PRESETS: &[(&str, &str)] = &[
    preset!("local"),
    preset!("sendsar"),
    preset!("ably"),
    preset!("ably-token-request"),
    preset!("centrifugo"),
    preset!("centrifugo-subscription"),
    preset!("firebase"),
    preset!("pusher"),
    preset!("pusher-channel"),
    preset!("stream"),
    preset!("talkjs"),
    preset!("twilio"),
];
