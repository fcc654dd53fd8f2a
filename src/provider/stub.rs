//! stub
use super::*;
#[derive(Debug)]
pub struct Gateway;
#[derive(Debug)]
pub struct CallValues<'v> { pub parameters: &'v [(&'v str, &'v str)], pub as_user: Option<&'v str> }
pub struct Carried;
impl Carried { pub fn iter(&self) -> std::vec::IntoIter<Vec<u8>> { todo!() } }
pub struct AdmittedCall;
impl AdmittedCall { pub fn report(self, _: &Result<crate::outbound::Streamed, crate::outbound::SendError>) {} }
impl Gateway {
    pub fn section(&self) -> &gateway::Gateway { todo!() }
    pub fn ours(&self) -> (Vec<http::HeaderName>, Vec<String>) { todo!() }
    pub fn base(&self) -> &url::Url { todo!() }
    pub fn seal(&self, _: usize, _: &mut crate::outbound::Call, _: &CallValues<'_>) -> Result<Carried, ProviderError> { todo!() }
    pub fn error_body(&self, _: &FailureView<'_>) -> Option<bytes::Bytes> { todo!() }
    pub async fn admit(&self, _: Duration, _: crate::clock::Moment) -> Result<AdmittedCall, ProviderError> { todo!() }
    pub async fn reread(&self) -> bool { todo!() }
    pub fn signs_body(&self, _: usize) -> bool { todo!() }
}
