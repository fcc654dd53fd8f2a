//! Names in a verified client certificate: subject alternative names of the kinds URI and DNS, never the common name.

/// Names of which one must be in the certificate.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The demand, where there is one. Each name is a URI, or `dns:` and a host in lower case.
    pub(super) fn of(configured: &[String]) -> Option<Self> {
        (!configured.is_empty()).then(|| Self(configured.to_vec()))
    }

    /// Whether one of the `shown` names is among them, to the byte.
    pub(super) fn holds(&self, shown: &[String]) -> bool {
        shown.iter().any(|name| self.0.contains(name)) // T-01: names of a certificate
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client certificate of {}", self.0.join(" or "))
    }
}
