//! Values that stand on one line, and what editors, shells and consoles add to them.

use super::Mistake;

/// Checks a value that stands on one line: what an id, an address or a key can be. `Err` is the rest of a sentence, and
/// names a place in the value, never the value.
pub fn line(text: &str) -> Result<(), Mistake> {
    if text.starts_with('\u{feff}') {
        return Err("begins with a byte order mark; save it as UTF-8 without one".into());
    }
    if text.contains('\0') {
        return Err("holds NUL characters, as UTF-16 does; save it as UTF-8".into());
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("is blank; write the value itself".into());
    }
    if text.ends_with(['\n', '\r']) {
        return Err("ends with a line break; write the value alone, on one line".into());
    }
    if !text.ends_with(trimmed) {
        return Err("ends with a blank; write the value alone".into());
    }
    if !text.starts_with(trimmed) {
        return Err("begins with a blank or a line break; write the value alone".into());
    }
    if is_quoted(text) {
        return Err("stands in quotes; write it without them".into());
    }
    let odd = text.chars().position(|c| c.is_control() || is_invisible(c));
    odd.map_or(Ok(()), |at| {
        Err(format!("holds a line break, a control character or an invisible one (character {})", at + 1).into())
    })
}

/// Whether the whole value stands between quotes, as it is left by `docker --env-file` and by JSON.
pub fn is_quoted(text: &str) -> bool {
    const PAIRS: [(char, char); 5] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}')];
    text.chars().nth(1).is_some() && PAIRS.iter().any(|(open, close)| text.starts_with(*open) && text.ends_with(*close))
}

/// Characters that copying from a page brings along.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
