//! A login with an auth endpoint, as oauth2-proxy is one: a cookie is alice's, and everybody else has to sign in.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::fakes::http::{Script, listen, read_call};

/// What signs alice in.
pub const COOKIE: (&str, &str) = ("Cookie", "login=alice");

/// A running login.
pub struct Login {
    pub address: SocketAddr,
}

impl Login {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listen(listener, serve));
        Self { address }
    }
}

/// Answers each question. Nothing is said of groups: whoever asks has to know what that means for a client's own.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(call) = read_call(&mut stream, &mut buffer).await? {
        let (status, headers) = if call.path.starts_with("/oauth2/auth") && call.header("cookie") == COOKIE.1 {
            let said = [
                ("X-Auth-Request-User", "alice"),
                ("X-Auth-Request-Preferred-Username", "Alice Doe"),
                ("X-Auth-Request-Email", "alice@example.org"),
            ];
            (200, said.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
        } else {
            (401, Vec::new())
        };
        Script::Answer { status, headers, body: Vec::new() }.play(&mut stream).await?;
    }
    Ok(())
}
