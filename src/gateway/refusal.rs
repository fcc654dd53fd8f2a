//! Why a call is refused: one code each, which the caller sees, the log says and a metric counts.

use strum::{Display, IntoStaticStr, VariantArray};

/// Why a call is refused. It says which rule, and nothing of what was sent or of what exists beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// The target is not in origin form, or holds what two programs could read in two ways.
    TargetInvalid,
    /// A header stands there twice, or names headers of one hop that are none.
    HeaderInvalid,
    /// The body is not what its type says, can be read in two ways, or lacks what the operation needs.
    BodyInvalid,
    /// The operation is made for a user, and none is named.
    AsUserMissing,
    /// No caller is proven, or two are.
    CallerUnauthorized,
    /// No operation has this path.
    OperationUnknown,
    /// The caller has no grant for the operation.
    OperationDenied,
    /// The grant does not hold for the value of a parameter, or the operation does not carry it.
    ParameterDenied,
    /// A query parameter is not one of the operation, or stands there twice.
    QueryDenied,
    /// The body holds what the operation forbids.
    BodyDenied,
    /// The path names another tenant than the configured one.
    TenantDenied,
    /// The caller may not call as this user, or the operation is made for none.
    AsUserDenied,
    /// A browser made the request.
    BrowserRefused,
    /// The operation has another method.
    MethodDenied,
    /// The body is larger than it may be.
    BodyTooLarge,
    /// The body is of a type that the operation does not take, or encoded.
    TypeDenied,
    /// The host is none that is served.
    HostRefused,
    /// Another protocol is asked for.
    UpgradeRefused,
    /// The caller's rate is used up.
    CallerRateLimited,
    /// The provider's rate is used up.
    ProviderRateLimited,
    /// The provider's answer is none that may be passed on.
    ProviderBadAnswer,
    /// The provider did not answer in time.
    ProviderTimeout,
    /// The provider cannot be reached, or is being left alone.
    ProviderUnavailable,
    /// The provider does not take the credential, or there is none.
    ProviderCredentials,
    /// There are as many calls at work as there may be.
    GatewayBusy,
    /// The service is stopping.
    Draining,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_called() {
        assert_eq!(Refusal::AsUserMissing.to_string(), "as_user_missing");
        assert_eq!(<&str>::from(Refusal::TargetInvalid), "target_invalid");
        assert_eq!(Refusal::VARIANTS.len(), 26);
    }
}
