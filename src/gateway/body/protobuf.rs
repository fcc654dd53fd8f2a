//! Protobuf bodies: the top-level fields of one message, by number. What is inside them is not looked at.

use crate::gateway::refusal::Refusal;

/// Rules on the fields of a message.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct FieldRules {
    /// Fields that must not be there.
    pub(in crate::gateway) denied: Vec<u32>,
    /// The only fields that may be there, where that is said.
    pub(in crate::gateway) allowed: Option<Vec<u32>>,
    /// Fields that are values of parameters: strings, once each.
    pub(in crate::gateway) parameters: Vec<(u32, usize)>,
}

impl FieldRules {
    /// Whether they say nothing.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.denied.is_empty() && self.allowed.is_none() && self.parameters.is_empty()
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field<'b> {
    number: u32,
    value: Payload<'b>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload<'b> {
    /// Bytes with a length before them: a string, a message, packed numbers.
    Bytes(&'b [u8]),
    /// A number of some kind.
    Number,
}

/// Checks a message. The result are the values of parameters in it, in its order. An empty body is a message without fields.
pub(in crate::gateway) fn check(rules: &FieldRules, message: &[u8]) -> Result<Vec<(usize, String)>, Refusal> {
    let mut values: Vec<(usize, String)> = Vec::new();
    let mut seen: Vec<u32> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let field = field(&mut rest).ok_or(Refusal::BodyInvalid)?;
        let is_other = rules.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&field.number));
        // G-19: forbidden field
        if rules.denied.contains(&field.number) || is_other {
            return Err(Refusal::BodyDenied);
        }
        let mut own = rules.parameters.iter().filter(|(number, _)| *number == field.number).peekable();
        if own.peek().is_none() {
            continue;
        }
        // Of two, readers take the last, and of another kind none.
        let is_twice = seen.contains(&field.number); // G-05: repeated field
        let text = match field.value {
            Payload::Bytes(bytes) if !is_twice => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        let text = text.ok_or(Refusal::BodyInvalid)?;
        values.extend(own.map(|(_, parameter)| (*parameter, text.to_owned())));
        seen.push(field.number);
    }
    Ok(values)
}

/// The next field; `None` where the rest is none, or one that readers take for different fields.
fn field<'b>(rest: &mut &'b [u8]) -> Option<Field<'b>> {
    // Some readers cut a tag to 32 bits, and would see another field.
    let tag = u32::try_from(varint(rest)?).ok()?; // G-05: wide tag
    let number = Some(tag >> 3).filter(|number| *number > 0)?;
    let value = match tag & 7 {
        0 => varint(rest).map(|_number| Payload::Number)?,
        1 => take(rest, 8).map(|_bytes| Payload::Number)?,
        2 => {
            let length = varint(rest)?;
            Payload::Bytes(take(rest, usize::try_from(length).ok()?)?)
        }
        5 => take(rest, 4).map(|_bytes| Payload::Number)?,
        // Groups nest, and have long been out of use.
        _ => return None,
    };
    Some(Field { number, value })
}

/// A number in its shortest form, which every writer uses.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for n in 0..10_u32 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(7 * n).filter(|shifted| shifted >> (7 * n) == bits)?;
        if byte & 0x80 == 0 {
            let is_shortest = n == 0 || bits != 0; // G-05: padded number
            return is_shortest.then_some(number);
        }
    }
    None
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}
