//! stub
use super::*;
use crate::gateway::operation::{Operation, Parameters};
use crate::identity::ConnectionProof;
use bytes::Bytes;
#[derive(Debug)]
pub struct Callers;
pub struct Seen<'s> { pub connection: ConnectionProof, pub method: &'s http::Method, pub path: &'s str, pub query: Option<&'s str>, pub headers: &'s http::HeaderMap, pub body: Option<&'s Bytes> }
pub struct Caller;
pub struct Grants;
impl Callers {
    pub fn configure(_: &config::Gateway, _: &[Arc<Mount>], _: &Services) -> Result<Self, Vec<ConfigError>> { todo!() }
    pub fn peers(&self) -> &Arc<crate::identity::Peers> { todo!() }
    pub fn reads_body(&self, _: &Mount) -> bool { todo!() }
    pub fn identify(&self, _: &Seen<'_>, _: &str) -> Result<&Caller, Refusal> { todo!() }
}
impl Caller {
    pub fn name(&self) -> &str { todo!() }
    pub fn proof(&self) -> &'static str { todo!() }
    pub fn grants(&self, _: &str) -> Grants { todo!() }
    pub fn acts_as(&self, _: &Operation, _: &http::HeaderMap, _: &provider::Gateway) -> Result<Option<String>, Refusal> { todo!() }
}
impl Grants { pub fn pass(&self, _: &Operation, _: &Arc<dyn crate::clock::Clock>) -> Result<(), Refusal> { todo!() } }
impl gate::Grants for Grants {
    fn allow(&self, _: &Operation) -> bool { todo!() }
    fn permit(&self, _: &Operation, _: &Parameters<'_>) -> bool { todo!() }
}
