//! Signature algorithms that tokens may name (RFC 7518, 3.1; RFC 8037, 3.1). `none` is not among them.

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Every algorithm with its registered name.
    pub(in crate::identity) const ALL: [(Self, &'static str); 13] = [
        (Self::Hs256, "HS256"),
        (Self::Hs384, "HS384"),
        (Self::Hs512, "HS512"),
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
        (Self::Es512, "ES512"),
        (Self::EdDsa, "EdDSA"),
    ];

    /// The algorithm with this registered name, letter for letter. `Ed25519` is the newer name of `EdDSA` with that curve
    /// (RFC 9864, 2.2), which is the only one here.
    pub(in crate::identity) fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        // T-18: names of algorithms
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(algorithm, _)| *algorithm)
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
