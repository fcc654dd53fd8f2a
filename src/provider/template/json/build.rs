//! From a JSON value with templates in it to pieces.

use serde_json::{Map, Value};

use super::super::{Absent, Datum, Expression, Scope, split_in};
use super::{Each, Order, Piece, escape, write_in_string};
use crate::definition::{Key, Mistake, Segment};

/// Puts pieces together.
pub(super) struct Builder<'s> {
    pub(super) pieces: Vec<Piece>,
    scope: &'s mut Scope,
    /// Within what an operator wrote: there a member called `setting` is a member.
    foreign: bool,
}

impl<'s> Builder<'s> {
    pub(super) fn new(scope: &'s mut Scope) -> Self {
        Self { pieces: Vec::new(), scope, foreign: false }
    }

    fn literal(&mut self, bytes: &[u8]) {
        push_literal(&mut self.pieces, bytes);
    }

    pub(super) fn value(&mut self, value: &Value, place: &Key) -> Result<(), Mistake> {
        match value {
            Value::String(text) => self.string(text, place),
            Value::Object(members) => match self.directive(members, place) {
                Some(outcome) => outcome,
                None => self.object(members, place),
            },
            Value::Array(items) => self.list(items, place),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.literal(value.to_string().as_bytes());
                Ok(())
            }
        }
    }

    /// A string that is exactly one expression keeps the expression's type; mixed text is a string.
    fn string(&mut self, text: &str, place: &Key) -> Result<(), Mistake> {
        let at = |mistake: Mistake| mistake.within(place);
        let segments = split_in(text, self.scope).map_err(at)?;
        if let [Segment::Expression(expression)] = segments.as_slice() {
            let expression = Expression::compile(expression, self.scope).map_err(at)?;
            match expression.constant() {
                Some(Ok(value)) => {
                    let text = value.to_string();
                    self.literal(text.as_bytes());
                }
                _ => self.pieces.push(Piece::Value(expression, place.to_string())),
            }
            return Ok(());
        }
        self.literal(b"\"");
        self.in_string(&segments, place)?;
        self.literal(b"\"");
        Ok(())
    }

    fn in_string(&mut self, segments: &[Segment], place: &Key) -> Result<(), Mistake> {
        for segment in segments {
            let mut escaped = Vec::new();
            match segment {
                Segment::Literal(text) => {
                    escape(text, &mut escaped);
                    self.literal(&escaped);
                }
                Segment::Expression(text) => {
                    let expression = Expression::compile(text, self.scope).map_err(|mistake| mistake.within(place))?;
                    match expression.constant() {
                        Some(Ok(value)) => {
                            write_in_string(&Datum::Json(std::borrow::Cow::Borrowed(value)), &mut escaped);
                            self.literal(&escaped);
                        }
                        _ => self.pieces.push(Piece::InString(expression, place.to_string())),
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn object(&mut self, members: &Map<String, Value>, place: &Key) -> Result<(), Mistake> {
        self.distinct(members, place, |own| {
            own.literal(b"{");
            own.members(members, place, &mut false)?;
            own.literal(b"}");
            Ok(())
        })
    }

    /// An object that `write` adds; where names of its `members` vary, no two may come out the same.
    fn distinct(
        &mut self,
        members: &Map<String, Value>,
        place: &Key,
        write: impl FnOnce(&mut Self) -> Result<(), Mistake>,
    ) -> Result<(), Mistake> {
        if !members.keys().any(|key| key.contains("{{")) {
            return write(self);
        }
        let inner = self.apart(write)?;
        self.pieces.push(Piece::Distinct(inner, place.to_string()));
        Ok(())
    }

    fn members(&mut self, members: &Map<String, Value>, place: &Key, sure: &mut bool) -> Result<(), Mistake> {
        for (key, value) in members {
            let place = place.below(key);
            self.element(sure, |own| {
                own.literal(b"\"");
                own.key(key, &place)?;
                own.value(value, &place)
            })?;
        }
        Ok(())
    }

    /// A member's name and the colon behind it; the quote before it stands already.
    fn key(&mut self, key: &str, place: &Key) -> Result<(), Mistake> {
        let segments = split_in(key, self.scope).map_err(|mistake| mistake.within(place))?;
        self.in_string(&segments, place)?;
        self.literal(b"\":");
        Ok(())
    }

    /// A table that stands for something else than itself, told by its members.
    fn directive(&mut self, members: &Map<String, Value>, place: &Key) -> Option<Result<(), Mistake>> {
        let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
        names.sort_unstable();
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        match names.as_slice() {
            ["setting"] if !self.foreign => Some(self.setting(text("setting")?, place)),
            ["setting", "with"] if !self.foreign => {
                Some(self.setting_with(text("setting")?, members.get("with")?.as_object()?, place))
            }
            ["json_text"] => Some(self.json_text(members.get("json_text")?, Order::Kept, place)),
            ["json_text", "sorted"] => {
                let order = if members.get("sorted")?.as_bool()? { Order::Sorted } else { Order::Kept };
                Some(self.json_text(members.get("json_text")?, order, place))
            }
            ["as", "each", "value"] => Some(self.each(text("each")?, text("as")?, None, members.get("value")?, place)),
            ["as", "each", "key", "value"] => {
                Some(self.each(text("each")?, text("as")?, text("key"), members.get("value")?, place))
            }
            _ => None,
        }
    }

    /// What an operator wrote in a setting, as templates.
    fn setting(&mut self, name: &str, place: &Key) -> Result<(), Mistake> {
        self.scope.used_settings.insert(name.to_owned());
        if let Some(value) = self.scope.settings.get(name).cloned() {
            self.foreign = true;
            let outcome = self.value(&value, &Key::of(name));
            self.foreign = false;
            return outcome;
        }
        // A setting without value is absent, whatever holds it is left out.
        let expression =
            Expression::compile(&format!("config.{name}?"), self.scope).map_err(|mistake| mistake.within(place))?;
        self.pieces.push(Piece::Value(expression, place.to_string()));
        Ok(())
    }

    /// Members of the definition, and behind them those of the table that the operator wrote in a setting.
    fn setting_with(&mut self, name: &str, base: &Map<String, Value>, place: &Key) -> Result<(), Mistake> {
        // A mistake in the name is told even where the operator gave nothing.
        Expression::compile(&format!("config.{name}?"), self.scope).map_err(|mistake| mistake.within(place))?;
        let wrong = |problem: String| Mistake::new(Key::of(name), problem);
        let own = match self.scope.settings.get(name) {
            None => Map::new(),
            Some(Value::Object(own)) => own.clone(),
            Some(_) => return Err(wrong("is no table".to_owned())),
        };
        if let Some(taken) = own.keys().find(|key| base.contains_key(*key)) {
            return Err(wrong(format!("holds \"{taken}\", which the definition sets; remove it")));
        }
        if let Some(varying) = own.keys().find(|key| key.contains("{{")) {
            return Err(wrong(format!(
                "holds \"{varying}\": a name that varies could be one that the definition sets"
            )));
        }
        self.distinct(base, place, |builder| {
            builder.literal(b"{");
            let mut sure = false;
            builder.members(base, place, &mut sure)?;
            builder.foreign = true;
            let outcome = builder.members(&own, &Key::of(name), &mut sure);
            builder.foreign = false;
            outcome?;
            builder.literal(b"}");
            Ok(())
        })
    }

    fn json_text(&mut self, value: &Value, order: Order, place: &Key) -> Result<(), Mistake> {
        let inner = self.apart(|own| own.value(value, place))?;
        self.pieces.push(Piece::Text(inner, order));
        Ok(())
    }

    fn each(&mut self, list: &str, item: &str, key: Option<&str>, value: &Value, place: &Key) -> Result<(), Mistake> {
        if self.scope.item.is_some() {
            return Err(Mistake::new(place, "an iteration within an iteration; there is one level"));
        }
        let list = Expression::compile(list, self.scope).map_err(|mistake| mistake.within(place))?;
        self.scope.item = Some(item.to_owned());
        let compiled = self.apart(|own| own.value(value, place)).and_then(|value| {
            let key = key.map(|key| {
                self.apart(|own| {
                    own.literal(b"\"");
                    own.key(key, place)
                })
            });
            Ok((key.transpose()?, value))
        });
        self.scope.item = None;
        let (key, value) = compiled?;
        self.pieces.push(Piece::Each(Box::new(Each { list, place: place.to_string(), key, value })));
        Ok(())
    }

    /// What `write` adds, on its own.
    fn apart(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Mistake>) -> Result<Vec<Piece>, Mistake> {
        let before = std::mem::take(&mut self.pieces);
        let written = write(self);
        let inner = std::mem::replace(&mut self.pieces, before);
        written.map(|()| inner)
    }

    fn list(&mut self, items: &[Value], place: &Key) -> Result<(), Mistake> {
        self.literal(b"[");
        let mut sure = false;
        for (n, item) in items.iter().enumerate() {
            self.element(&mut sure, |own| own.value(item, &place.item(n)))?;
        }
        self.literal(b"]");
        Ok(())
    }

    /// One member or item with the comma before it. `sure` tells whether an element before it is certainly there.
    fn element(
        &mut self,
        sure: &mut bool,
        write: impl FnOnce(&mut Self) -> Result<(), Mistake>,
    ) -> Result<(), Mistake> {
        let inner = self.apart(write)?;
        if inner.iter().any(always_absent) {
            return Ok(());
        }
        let optional = inner.iter().any(may_be_absent);
        let opened =
            matches!(self.pieces.last(), Some(Piece::Literal(bytes)) if matches!(bytes.last(), Some(b'{' | b'[')));
        let mut element = Vec::with_capacity(inner.len() + 1);
        if *sure {
            push_literal(&mut element, b",");
        } else if !opened {
            element.push(Piece::Comma);
        }
        append(&mut element, inner);
        if optional {
            self.pieces.push(Piece::Optional(element));
        } else {
            append(&mut self.pieces, element);
            *sure = true;
        }
        Ok(())
    }
}

/// Adds bytes; neighbouring literals become one.
fn push_literal(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    if let Some(Piece::Literal(last)) = pieces.last_mut() {
        last.extend_from_slice(bytes);
    } else {
        pieces.push(Piece::Literal(bytes.to_vec()));
    }
}

fn append(pieces: &mut Vec<Piece>, more: Vec<Piece>) {
    for piece in more {
        match piece {
            Piece::Literal(bytes) => push_literal(pieces, &bytes),
            other => pieces.push(other),
        }
    }
}

/// Whether a piece directly holds an optional value, so that the element around it can be left out.
fn may_be_absent(piece: &Piece) -> bool {
    match piece {
        Piece::Value(expression, _) | Piece::InString(expression, _) => expression.is_optional(),
        Piece::Each(each) => each.list.is_optional(),
        Piece::Text(inner, _) => inner.iter().any(may_be_absent),
        Piece::Literal(_) | Piece::Comma | Piece::Optional(_) | Piece::Distinct(..) => false,
    }
}

/// Whether a piece holds an optional setting that was not given: its element is left out at load.
fn always_absent(piece: &Piece) -> bool {
    matches!(piece, Piece::Value(expression, _) | Piece::InString(expression, _)
        if matches!(expression.constant(), Some(Err(Absent::Optional))))
}
