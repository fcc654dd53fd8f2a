//! Signature algorithms that tokens may name (RFC 7518, 3.1; RFC 8037, 3.1). `none` is not among them.

use strum::{IntoStaticStr, VariantArray};

/// A signature algorithm, by its registered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "UPPERCASE")]
pub(in crate::identity) enum Algorithm {
    /// HMAC with SHA-256; the key is a shared secret, so it is used alone and never taken from a key set.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519.
    #[strum(serialize = "EdDSA")]
    EdDsa,
}

/// Kinds of keys. A source uses algorithms of one family only, so that no token chooses how a key is read (T-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Family {
    /// Shared secrets.
    Mac,
    /// RSA.
    Rsa,
    /// Elliptic curves, ECDSA.
    Ec,
    /// Edwards curves.
    Okp,
}

impl Algorithm {
    /// Its registered name.
    pub(in crate::identity) fn name(self) -> &'static str {
        self.into()
    }

    /// The algorithm with this registered name, letter for letter. `Ed25519` is the newer name of `EdDSA` with that curve
    /// (RFC 9864, 2.2), which is the only one here.
    pub(in crate::identity) fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        // T-18: names of algorithms
        Self::VARIANTS.iter().copied().find(|own| own.name() == name)
    }

    /// The kind of its keys.
    pub(in crate::identity) const fn family(self) -> Family {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Mac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Family::Rsa,
            Self::Es256 | Self::Es384 | Self::Es512 => Family::Ec,
            Self::EdDsa => Family::Okp,
        }
    }
}
