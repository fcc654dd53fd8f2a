//! What an operator allows a request to ask for: which rooms or channels a user may join is the operator's decision alone.

use serde_json::Value;

use crate::definition::{Key, Mistake};
use crate::provider::template::text::TextTemplate;
use crate::provider::template::{Expression, Scope, Variables};

/// The values of one input that the operator allows.
#[derive(Debug)]
pub(in crate::provider) struct AllowList {
    /// The input, by index.
    input: usize,
    entries: Vec<Entry>,
}

/// One entry of the operator's list.
#[derive(Debug)]
struct Entry {
    /// The list that it stands for each item of.
    each: Option<Expression>,
    text: TextTemplate,
    /// Whether anything may follow.
    open: bool,
}

impl AllowList {
    /// Compiles the operator's `list` for the input with this index; without a list nothing is allowed. `setting` names it
    /// in messages.
    pub(in crate::provider) fn compile(
        input: usize,
        list: Option<&Value>,
        setting: &Key,
        scope: &mut Scope,
    ) -> Result<Self, Mistake> {
        // What a request says must not decide what a request may say.
        let inputs = std::mem::take(&mut scope.inputs);
        let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let entries: Result<_, _> = items.iter().map(|item| Entry::compile(item, setting, scope)).collect();
        scope.inputs = inputs;
        Ok(Self { input, entries: entries? })
    }

    /// Whether the operator allows what was asked for. An input that was left out asks for nothing.
    pub(in crate::provider) fn allows(&self, variables: &Variables<'_>) -> bool {
        let asked = variables.inputs.get(self.input).copied().flatten();
        asked.is_none_or(|asked| self.entries.iter().any(|entry| entry.allows(asked, variables)))
    }
}

impl Entry {
    fn compile(item: &Value, setting: &Key, scope: &mut Scope) -> Result<Self, Mistake> {
        let wrong = |problem: &str| Mistake::new(setting, problem);
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let (each, value) = match (item, text("each"), text("as"), text("value")) {
            (Value::String(value), ..) => (None, value.as_str()),
            (Value::Object(members), Some(each), Some(name), Some(value)) if members.len() == 3 => {
                let each = Expression::compile(each, scope).map_err(|mistake| mistake.within(setting))?;
                (Some((each, name)), value)
            }
            _ => return Err(wrong("holds neither text nor { each = \"…\", as = \"…\", value = \"…\" }")),
        };
        let (fixed, open) = value.strip_suffix('*').map_or((value, false), |fixed| (fixed, true));
        if open && fixed.ends_with("}}") {
            return Err(wrong(&format!(
                "\"{value}\" would allow for one what is meant for another whose value begins alike; write a separator \
                 before the *"
            )));
        }
        scope.item = each.as_ref().map(|(_, name)| (*name).to_owned());
        let compiled = TextTemplate::compile(fixed, setting, scope);
        scope.item = None;
        let text = compiled?;
        text.check_signed(|_input, _separator| true)?;
        Ok(Self { each: each.map(|(each, _)| each), text, open })
    }

    fn allows(&self, asked: &str, variables: &Variables<'_>) -> bool {
        let Some(each) = &self.each else { return self.fits(asked, variables) };
        let Ok(list) = each.value(variables) else { return false };
        let fits = |item: &str| !item.is_empty() && self.fits(asked, &Variables { item: Some(item), ..*variables });
        list.items().is_some_and(|items| items.iter().any(|item| fits(item)))
    }

    /// As with signed text, no value may hold the character behind it: it could end elsewhere than the operator thinks.
    fn fits(&self, asked: &str, variables: &Variables<'_>) -> bool {
        match self.text.render_signed(variables) {
            Ok(text) if self.open => asked.starts_with(&text),
            Ok(text) => asked == text,
            Err(_missing) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::template::Profile;
    use crate::provider::user::UserId;

    fn list_of(list: &Value) -> Result<AllowList, String> {
        let mut scope = Scope { inputs: vec!["channel".to_owned()], ..Scope::default() };
        let list =
            AllowList::compile(0, Some(list), &"channels".into(), &mut scope).map_err(|mistake| mistake.to_string());
        assert_eq!((scope.inputs.len(), scope.item), (1, None));
        list
    }

    fn allows(list: &Value, user: &str, groups: &[&str], asked: &str) -> bool {
        let (user, profile) = (UserId::plain(user), Profile { groups: groups.to_vec(), ..Profile::default() });
        let inputs = [Some(asked)];
        list_of(list).expect("compiles").allows(&Variables { inputs: &inputs, ..Variables::of(&user, &profile) })
    }

    #[test]
    fn nothing_is_allowed_that_the_operator_did_not_list() {
        let none = AllowList::compile(0, None, &"channels".into(), &mut Scope::default()).expect("compiles");
        let (user, profile) = (UserId::plain("alice"), Profile::default());
        let asked = [Some("lobby")];
        assert!(!none.allows(&Variables { inputs: &asked, ..Variables::of(&user, &profile) }));
        assert!(none.allows(&Variables { inputs: &[None], ..Variables::of(&user, &profile) }), "nothing was asked for");
        assert!(!allows(&json!([]), "alice", &[], "lobby"));
        let list = json!(["lobby", "user-{{ user.id }}", "news-*"]);
        for (asked, allowed) in [
            ("lobby", true),
            ("lobby2", false),
            ("lobb", false),
            ("user-alice", true),
            ("user-bob", false),
            ("user-alice-2", false),
            ("news-", true),
            ("news-7", true),
            ("news", false),
            ("", false),
        ] {
            assert_eq!(allows(&list, "alice", &[], asked), allowed, "{asked}");
        }
    }

    #[test]
    fn a_star_is_the_operators_and_never_the_users() {
        assert!(!allows(&json!(["user-{{ user.id }}"]), "*", &[], "user-bob"));
        assert!(allows(&json!(["user-{{ user.id }}"]), "*", &[], "user-*"));
        assert!(list_of(&json!(["user-{{ user.id }}*"])).expect_err("refused").contains("write a separator"));
    }

    #[test]
    fn a_value_ends_where_the_operator_thinks() {
        let list = json!(["user-{{ user.id }}-*"]);
        assert!(allows(&list, "al", &[], "user-al-inbox"));
        assert!(!allows(&list, "al", &[], "user-al"));
        assert!(!allows(&list, "al-x", &[], "user-al-x-inbox"), "which al would take for one of his");
        assert!(list_of(&json!(["{{ user.id }}{{ user.id }}"])).expect_err("refused").contains("nothing between"));
    }

    #[test]
    fn a_channel_for_each_group() {
        let list = json!([{"each": "user.groups", "as": "team", "value": "team-{{ team }}"}]);
        assert!(allows(&list, "alice", &["red", "blue"], "team-blue"));
        assert!(!allows(&list, "alice", &["red", ""], "team-blue"));
        assert!(!allows(&list, "alice", &["red", ""], "team-"), "no group");
        assert!(!allows(&list, "alice", &[], "team-red"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (list, problem) in [
            (json!([7]), "holds neither text nor"),
            (json!([{"each": "user.groups", "value": "x"}]), "holds neither text nor"),
            (json!(["{{ input.channel }}"]), "unknown variable"),
            (json!(["{{ team }}"]), "unknown variable"),
        ] {
            assert!(list_of(&list).expect_err("refused").contains(problem), "{list}");
        }
    }
}
