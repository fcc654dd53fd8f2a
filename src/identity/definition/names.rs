//! Names that definitions give: those of headers and of claims.

use http::HeaderName;

use crate::definition::Mistake;
use crate::identity::claims::Path;

/// The header of this name.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Mistake> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("\"{text}\" is not a header name"))?;
    // Such a name is an alias of the one with dashes, and proxies strip or fold it at will (R5).
    if name.as_str().contains(['_', '.']) {
        return Err(format!("\"{text}\" must not hold '_' or '.'; proxies treat those unlike '-'").into());
    }
    Ok(name)
}

/// A claim's name, or a pointer.
pub(super) fn claim_path(text: &str) -> Result<Path, Mistake> {
    let problem = || format!("\"{text}\" is not the name of a claim, nor a pointer such as \"/realm_access/roles\"");
    Path::parse(text).ok_or_else(|| problem().into())
}
