//! Reads checks from the bytes of a call. One that cannot be read is no failure of the call: its client may be to blame,
//! and would let itself in where failures are let in (T-57).

use bytes::Buf as _;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What a call asks; `None` where that cannot be read.
pub(super) struct Read(pub(super) Option<Box<CheckRequest>>);

/// Checks in, answers out.
#[derive(Default)]
pub(super) struct Checked(ProstDecoder<CheckRequest>);

impl Codec for Checked {
    type Encode = CheckResponse;
    type Decode = Read;
    type Encoder = ProstEncoder<CheckResponse>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl Decoder for Checked {
    type Item = Read;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Read>, Status> {
        let check = self.0.decode(bytes).ok().flatten(); // T-57: broken message
        // What was not read would be taken for the next message.
        bytes.advance(bytes.remaining());
        Ok(Some(Read(check.map(Box::new))))
    }
}
