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
    preset!("cometchat"),
    preset!("ejabberd"),
    preset!("identity-hash"),
    preset!("intercom"),
    preset!("liveblocks"),
    preset!("nats"),
    preset!("sendbird"),
    preset!("synapse"),
    preset!("synapse-jwt"),
    preset!("zendesk"),
];
