//! Patterns of paths: whole segments that are matched, and written anew from what was matched.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::value::ValueRule;
use crate::definition::Mistake;

/// Everything but RFC 3986 «unreserved» is encoded in a value.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Segments of one path at most.
const MAX_SEGMENTS: usize = 32;

/// A path.
#[derive(Debug)]
pub(super) struct PathPattern {
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    /// This text.
    Literal(String),
    /// The value of a setting. Another one is another tenant.
    Tenant(String),
    /// What fits, under this name.
    Parameter { name: String, rule: ValueRule },
}

/// What a path is to a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is one of these.
    Whole,
    /// It would be one, for another tenant.
    OtherTenant,
    /// It is none.
    None,
}

impl PathPattern {
    /// Compiles `/users/{user}` and `/apps/{=config.app_id}/events`. `settings` are the values of settings, `rules` those that
    /// parameters have of their own.
    pub(super) fn compile(
        text: &str,
        settings: &BTreeMap<String, String>,
        mut rule: impl FnMut(&str) -> ValueRule,
    ) -> Result<Self, Mistake> {
        let wrong = |problem: String| Mistake::from(format!("\"{text}\" {problem}"));
        let path = text.strip_prefix('/').ok_or_else(|| wrong("is not a path; it begins with /".to_owned()))?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/') {
            let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            segments.push(match inner {
                Some(inner) => match inner.strip_prefix('=') {
                    Some(setting) => Segment::Tenant(tenant(setting, settings).map_err(wrong)?),
                    None if !is_name(inner) => {
                        return Err(wrong(format!("has {{{inner}}}; a parameter is called by letters, digits and _")));
                    }
                    None => Segment::Parameter { name: inner.to_owned(), rule: rule(inner) },
                },
                None if is_literal(part) => Segment::Literal(part.to_owned()), // G-02: literal segment
                None => {
                    return Err(wrong(format!(
                        "has the segment \"{part}\"; write a literal of letters, digits and -._~!$&'()*+,;=:@, or {{NAME}} alone"
                    )));
                }
            });
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(wrong(format!("has more than {MAX_SEGMENTS} segments")));
        }
        let pattern = Self { segments };
        let is_again = |(n, name): &(usize, &str)| pattern.parameters().take(*n).any(|other| other == *name);
        if let Some((_, name)) = pattern.parameters().enumerate().find(is_again) {
            return Err(wrong(format!("has {{{name}}} twice")));
        }
        Ok(pattern)
    }

    /// Names of the parameters, in order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments
            .iter()
            .filter_map(|own| if let Segment::Parameter { name, .. } = own { Some(name.as_str()) } else { None })
    }

    /// Whether a path with these segments fits: whole segments, byte for byte.
    pub(super) fn fit(&self, segments: &[Cow<'_, str>]) -> Fit {
        if self.segments.len() != segments.len() {
            return Fit::None;
        }
        let mut fit = Fit::Whole;
        for (own, text) in self.segments.iter().zip(segments) {
            match own {
                Segment::Literal(literal) if literal == text => {}
                Segment::Tenant(value) if value == text => {}
                Segment::Parameter { rule, .. } if rule.fits_segment(text) => {} // G-02, G-03: pattern of a segment
                Segment::Tenant(_) => fit = Fit::OtherTenant,
                Segment::Literal(_) | Segment::Parameter { .. } => return Fit::None,
            }
        }
        fit
    }

    /// The values of parameters in segments that fit, in order.
    pub(super) fn values<'s, 'v>(&'s self, segments: &'v [Cow<'_, str>]) -> impl Iterator<Item = (&'s str, &'v str)> {
        self.segments.iter().zip(segments).filter_map(|(own, text)| match own {
            Segment::Parameter { name, .. } => Some((name.as_str(), text.as_ref())),
            _ => None,
        })
    }

    /// Writes the path of segments that fit, each value as one segment.
    pub(super) fn write(&self, segments: &[Cow<'_, str>], out: &mut String) {
        for (own, text) in self.segments.iter().zip(segments) {
            out.push('/');
            match own {
                Segment::Literal(literal) => out.push_str(literal),
                Segment::Tenant(text) => out.extend(utf8_percent_encode(text, ENCODED)),
                Segment::Parameter { .. } => out.extend(utf8_percent_encode(text, ENCODED)), // G-03: value as one segment
            }
        }
    }

    /// How exact it is, from the left: what compares less is more exact.
    pub(super) fn rank(&self) -> impl Iterator<Item = bool> {
        self.segments.iter().map(|own| own.fixed().is_none())
    }

    /// Whether one path could fit both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let mut both = self.segments.iter().zip(&other.segments);
        self.segments.len() == other.segments.len() && both.all(|(one, other)| one.meets(other))
    }

    /// The parameter that stands where the other one has a tenant, behind segments that could be the same.
    pub(super) fn takes_tenants_of(&self, other: &Self) -> Option<&str> {
        for (one, other) in self.segments.iter().zip(&other.segments) {
            match (one, other) {
                (Segment::Parameter { name, .. }, Segment::Tenant(_)) => return Some(name),
                _ if one.meets(other) => {}
                _ => return None,
            }
        }
        None
    }

    /// Whether it is at least as exact as the other one everywhere.
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(one, other)| one.fixed().is_some() || other.fixed().is_none())
    }
}

impl Segment {
    fn fixed(&self) -> Option<&str> {
        match self {
            Self::Literal(text) | Self::Tenant(text) => Some(text),
            Self::Parameter { .. } => None,
        }
    }

    /// Whether one text could fit both.
    fn meets(&self, other: &Self) -> bool {
        match (self.fixed(), other.fixed()) {
            (Some(one), Some(other)) => one == other,
            (Some(text), None) => other.takes(text),
            (None, Some(text)) => self.takes(text),
            (None, None) => true,
        }
    }

    fn takes(&self, text: &str) -> bool {
        matches!(self, Self::Parameter { rule, .. } if rule.fits_segment(text))
    }
}

/// The value of `config.NAME`, as a segment.
fn tenant(setting: &str, settings: &BTreeMap<String, String>) -> Result<String, String> {
    let name = setting.strip_prefix("config.").ok_or_else(|| format!("has {{={setting}}}; write {{=config.NAME}}"))?;
    let value = settings.get(name).ok_or_else(|| format!("has {{={setting}}}, and {name} has no value"))?;
    let is_odd = |c: char| matches!(c, '/' | '\\' | '%') || c.is_control();
    if matches!(value.as_str(), "" | "." | "..") || value.chars().any(is_odd) {
        return Err(format!("has {{={setting}}}, and the value of {name} is no segment of a path"));
    }
    Ok(value.clone())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_literal(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(fits)
}
