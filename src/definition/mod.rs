//! What the formats of configuration, provider definitions and identity sources have in common.
//!
//! That is how a mistake is reported, how values are read and bounded, what a setting is, and what `{{ config.NAME }}`
//! stands for. Which keys there are is for the rooms that use them.

mod bounds;
mod line;
mod mistake;
mod one_or_many;
mod overlay;
mod pattern;
mod placeholder;
mod read;
mod setting;
mod settle;
mod value;

pub use bounds::{Count, DAY, HOUR, MILLI, MINUTE, Span, YEAR};
pub use line::{is_quoted, line};
pub use mistake::{Key, Mistake, Mistakes, did_you_mean};
pub use one_or_many::OneOrMany;
pub use overlay::lay;
pub use pattern::{may_hold, whole};
pub use placeholder::{Segment, each_text, fill, fill_between, named_in, settings_in, split};
pub use read::{read, shown};
pub use setting::{Encoding, Part, PublicForm, Setting, SettingKind};
pub use settle::{Settled, required};
pub use value::{check_address, checked};
