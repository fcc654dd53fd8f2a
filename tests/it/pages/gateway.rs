//! `docs/gateway.md` and `examples/gateway`: the five minutes of the page, up to what it says is printed. Replaced are the
//! folder of secrets, and the addresses.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{block, shell};
use crate::cli::Process;
use crate::docs::{blocks, pages, root};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::judge::tool;
use crate::parts::proxies::own_address;

const PAGE: &str = "docs/gateway.md";

/// The page on this machine.
struct Place {
    folder: tempfile::TempDir,
    gateway: SocketAddr,
    mount: SocketAddr,
    provider: Fake,
}

impl Place {
    fn new(provider: Fake) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), gateway: own_address(), mount: own_address(), provider }
    }

    /// What a block says, here.
    fn here(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        text.replace("/run/secrets", &folder)
            .replace("127.0.0.1:8070", &self.gateway.to_string())
            .replace("127.0.0.1:8071", &self.mount.to_string())
            .replace("127.0.0.1:7880", &self.provider.address.to_string())
    }

    /// Runs lines where the files of the page are; `allowed` is how they may end.
    async fn run(&self, lines: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().display();
        let folder = self.folder.path().display();
        let lines = format!("cd {folder}\nPATH={program}:$PATH\nexport no_proxy='*'\n{}", self.here(lines));
        shell(&lines, ([127, 0, 0, 1], 8080).into()).await
    }
}

/// The claims of a JWT whose signature is not looked at.
fn claims(call: &Call) -> Value {
    use base64::Engine as _;
    let token = call.header("authorization").strip_prefix("Bearer ").expect("a token");
    let payload = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_minutes_of_the_page() {
    let provider = Fake::start(|call| Script::json(200, &json!({"name": call.json["name"]}))).await;
    let place = Place::new(provider);
    place.run(&block(PAGE, "sh", "printf secret")).await;
    let file = place.folder.path().join("gateway.toml");
    fs::write(&file, place.here(&block(PAGE, "toml,fragment", "preset = \"livekit\""))).unwrap();
    place.run(&block(PAGE, "sh", "sidemint gateway key")).await;
    assert_eq!(block(PAGE, "sh", "sidemint serve"), "sidemint serve --config gateway.toml\n");
    let _process = Process::serve(&["serve", "--config", &file.display().to_string()], &[]);

    fs::write(place.folder.path().join("room.mjs"), place.here(&block(PAGE, "js", "RoomServiceClient"))).unwrap();
    symlink(tool("node/node_modules"), place.folder.path().join("node_modules")).unwrap();
    let printed = place.run(&block(PAGE, "sh", "node room.mjs")).await;
    assert_eq!(printed, block(PAGE, "text", "created shop-1"));
    let calls = place.provider.calls();
    assert_eq!(calls.len(), 1, "what was refused went nowhere: {calls:?}");
    let said = claims(&calls[0]);
    assert_eq!((&said["iss"], &said["video"]), (&json!("devkey"), &json!({"roomCreate": true})));
    assert_eq!(calls[0].json, json!({"name": "shop-1"}));

    // It ends with 1, because the call would be refused.
    let explain = block(PAGE, "sh", "gateway explain");
    let told = place.run(&format!("{} || test $? = 1", explain.trim_end())).await;
    for word in ["room.delete", "destroy", "operation_denied"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert_eq!(place.provider.calls().len(), 1, "nothing is sent");
}

/// What the example prints is what its page shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_gateway_runs() {
    let page = pages().into_iter().find(|page| page.path == "examples/gateway/README.md").expect("the page");
    let shown = blocks(&page).into_iter().find(|block| block.language == "text").expect("what it prints").text;
    let mut command = Command::new(root().join("examples/gateway/run"));
    let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    command.env("PATH", std::env::join_paths([program].into_iter().chain(std::env::split_paths(&path))).unwrap());
    for name in ["GATEWAY", "FRONT", "OPS", "APP"] {
        // The provider listens at 127.0.0.1 and nowhere else.
        command.env(name, format!("127.0.0.1:{}", own_address().port()));
    }
    let output = tokio::task::spawn_blocking(move || command.output().expect("starts")).await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown);
}
