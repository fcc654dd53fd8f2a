//! How a caller's key is written for an SDK: `sk_{{ key }}`, `{{ caller }}.gateway:{{ key }}`.

use crate::definition::{Mistake, Segment, split};

/// Text with the key in it, and perhaps the name of the caller.
#[derive(Debug)]
pub(super) struct KeyForm(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Caller,
    Key,
}

impl KeyForm {
    /// Compiles a form; it holds the key once.
    pub(super) fn compile(text: &str) -> Result<Self, Mistake> {
        let piece = |segment| match segment {
            Segment::Literal(text) => Ok(Piece::Text(text)),
            Segment::Expression(name) if name == "key" => Ok(Piece::Key),
            Segment::Expression(name) if name == "caller" => Ok(Piece::Caller),
            Segment::Expression(name) => Err(Mistake::from(format!("\"{name}\" is not one of key, caller"))),
        };
        let pieces = split(text)?.into_iter().map(piece).collect::<Result<Vec<_>, _>>()?;
        let keys = pieces.iter().filter(|piece| matches!(piece, Piece::Key)).count();
        if keys != 1 {
            return Err(format!("\"{text}\" does not hold the key once; write \"sk_{{{{ key }}}}\"").into());
        }
        Ok(Self(pieces))
    }

    /// The key of `caller` as it is written.
    pub(super) fn fill(&self, caller: &str, key: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Caller => caller.to_owned(),
            Piece::Key => key.to_owned(),
        };
        self.0.iter().map(piece).collect()
    }

    /// Whether it holds this character wherever the key is none of its own.
    pub(super) fn has(&self, wanted: char) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains(wanted)))
    }
}
