//! One request and its answer on a connection: what hyper hands over goes to the table, and whether the connection may go
//! on afterwards is decided here.

use std::convert::Infallible;
use std::sync::Arc;

use http::Version;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::body::Incoming;

use super::Routes;
use super::answering::Answering;
use crate::identity::ConnectionProof;
use crate::inbound::connection::{HeadFault, Phase};
use crate::inbound::listener::{Answers, Content};
use crate::inbound::request::Request;

impl Answers for Routes {
    /// The request is taken apart before the future is made. hyper copies the future when it moves it, so a future that
    /// captured the whole request would hold it twice.
    fn answer(
        &self,
        incoming: http::Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
        fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, Infallible>> + Send + 'static + use<> {
        // Few requests name a host in their target over HTTP/1, and over HTTP/2 both say the same.
        let fault = match incoming.uri().authority() {
            Some(_) => fault.or_else(|| self.table.fault_of_hosts(incoming.uri(), incoming.headers())),
            None => fault,
        };
        // Over HTTP/2 frames say that a connection ends, and no header does.
        let is_http1 = incoming.version() < Version::HTTP_2;
        let request = Request::of(incoming, connection, &phase);
        let unread = request.unread();
        let under_way = phase.under_way();
        let table = Arc::clone(&self.table);
        async move {
            let asks_first = unread.is_some() && request.headers.contains_key(EXPECT);
            let mut answer = match fault {
                // T-12: target of the request
                None => match table.answer(&request) {
                    Answering::Now(answer) => answer,
                    Answering::Later(answer) => answer.await,
                },
                Some(fault) => table.refuse(fault, &request),
            };
            // What is left of a body that no handler reads ends the connection, and the client must know before it sends
            // another request on it (RFC 9112, 9.6).
            let has_rest = match unread {
                Some(unread) if is_http1 => !Box::pin(unread.is_over(asks_first)).await,
                _ => false,
            };
            // drain: last answer
            if is_http1 && (has_rest || fault.is_some() || phase.is_last()) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            phase.answered();
            drop(under_way);
            Ok(answer)
        }
    }
}
