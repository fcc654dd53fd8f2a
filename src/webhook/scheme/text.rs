//! The text that a MAC is made of: pieces that are fixed, and slots for what a request has.

use http::HeaderName;

use crate::definition::{Key, Mistake, Mistakes, Segment, split};

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text of the definition.
    Literal(String),
    /// The body, unpacked.
    Body,
    /// The address that the provider was given.
    Url,
    /// The fields of a form in their order; nothing where the body is no form.
    Form,
    /// The time as it is written.
    Time,
    /// The id of the event as it is written.
    Id,
    /// A header.
    Header(HeaderName),
    /// A member of the header with the signature.
    Member(String),
}

impl Piece {
    fn named(expression: &str) -> Option<Self> {
        Some(match expression {
            "request.body" => Self::Body,
            "request.url" => Self::Url,
            "request.form_sorted" => Self::Form,
            "time" => Self::Time,
            "id" => Self::Id,
            other => match other.split_once('.')? {
                ("header", name) => Self::Header(name.parse().ok()?),
                ("member", name) if !name.is_empty() => Self::Member(name.to_owned()),
                _ => return None,
            },
        })
    }

    /// Whether it may be any text that the sender of a request likes. It must then not hold what separates it from others.
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Self::Id | Self::Header(_) | Self::Member(_))
    }
}

/// The pieces of `text`, and whether they can be told apart.
pub(super) fn compile(text: &str, has_strict_time: bool) -> Result<Vec<Piece>, Mistakes> {
    let place = Key::from("text");
    let mut mistakes = Mistakes::default();
    let mut pieces = Vec::new();
    for segment in split(text).map_err(|mistake| mistake.within(&place))? {
        match segment {
            Segment::Literal(text) => pieces.push(Piece::Literal(text)),
            Segment::Expression(expression) => match Piece::named(&expression) {
                Some(piece) => pieces.push(piece),
                None => mistakes.refuse(
                    &place,
                    format!(
                        "unknown variable \"{expression}\"; known: request.body, request.url, request.form_sorted, time, id, \
                         header.NAME, member.NAME, config.*"
                    ),
                ),
            },
        }
    }
    for (at, pair) in pieces.windows(2).enumerate() {
        let [one, other] = pair else { continue };
        let is_apart = |piece: &Piece| matches!(piece, Piece::Literal(_));
        let is_strict = *one == Piece::Url || *one == Piece::Time && has_strict_time && at == 0;
        // W-06: slots apart
        if !is_apart(one) && !is_apart(other) && !is_strict {
            mistakes.refuse(
                &place,
                "has two values with nothing between them: what one ends with, the other could begin with",
            );
        }
    }
    for slot in [Piece::Body, Piece::Form, Piece::Url] {
        if pieces.iter().filter(|piece| **piece == slot).count() > 1 {
            mistakes.refuse(&place, "names the same part of the request twice");
        }
    }
    mistakes.or(pieces)
}

/// Texts of the definition that stand beside the piece at `at`.
pub(super) fn separators(pieces: &[Piece], at: usize) -> impl Iterator<Item = &str> {
    let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten();
    beside.filter_map(|at| match pieces.get(at)? {
        Piece::Literal(text) => Some(text.as_str()),
        _ => None,
    })
}

/// A mistake at a member of the section.
pub(super) fn wrong(member: &str, problem: impl Into<String>) -> Mistake {
    Mistake::new(member, problem)
}
