//! Algorithms that tokens are signed with.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// An algorithm, by its JOSE name; those to prefer come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Alg {
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    #[strum(serialize = "EdDSA")]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Alg {
    /// The other name of [`Self::EdDsa`].
    pub const ED25519: &'static str = "Ed25519";

    /// The algorithm of a JOSE name. `Ed25519` is the newer name of `EdDSA` with that curve (RFC 9864, 2.2); tokens say
    /// the older one, which every verifier knows.
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == Self::ED25519 { Self::EdDsa.name() } else { name };
        Self::VARIANTS.iter().copied().find(|alg| alg.name() == name)
    }

    /// The JOSE name (RFC 7518, 3.1; RFC 8037, 3.1).
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether both sides hold the same secret, so that there is no public key.
    pub const fn is_hmac(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Bytes of the hash.
    pub(super) const fn hash_bytes(self) -> usize {
        match self {
            Self::Es256 | Self::Rs256 | Self::Hs256 => 32,
            Self::Es384 | Self::Rs384 | Self::Hs384 => 48,
            Self::EdDsa | Self::Rs512 | Self::Hs512 => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for &alg in Alg::VARIANTS {
            assert_eq!(Alg::named(alg.name()), Some(alg));
            assert_eq!(alg.is_hmac(), alg.name().starts_with("HS"));
        }
        assert_eq!(Alg::named("Ed25519"), Some(Alg::EdDsa));
        for other in ["none", "ed25519", "Ed448", "ES512", "PS256", "hs256", ""] {
            assert_eq!(Alg::named(other), None, "{other}");
        }
    }
}
