//! Names of members, where a value chooses them: of two members with one name, some readers take the first and some the
//! last, and a user who is called like a claim would write it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

/// Names that were written, as their bytes in JSON: equal names are escaped alike.
#[derive(Default)]
pub(super) struct Seen(BTreeSet<Vec<u8>>);

impl Seen {
    /// Notes a name; says whether it is the first of its kind.
    pub(super) fn is_new(&mut self, name: &[u8]) -> bool {
        self.0.insert(name.to_vec())
    }
}

/// Whether no two members of the object have one name.
pub(super) fn are_distinct(object: &[u8]) -> bool {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut names = BTreeSet::new();
            while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if !names.insert(name) {
                    return Err(A::Error::custom("two of one name"));
                }
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_slice(object).deserialize_map(Names).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::{Profile, Scope, UserId, Variables};
    use super::super::{JsonTemplate, MissingValue};

    fn render(template: &Value, name: &str, groups: &[&str]) -> Result<String, MissingValue> {
        let template = JsonTemplate::compile(template, &"json".into(), &mut Scope::default()).expect("compiles");
        let (user, profile) = (
            UserId::plain("u1"),
            Profile { subject: "s", name: Some(name), groups: groups.to_vec(), ..Profile::default() },
        );
        let mut out = Vec::new();
        template.render(&Variables::of(&user, &profile), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_user_who_is_called_like_a_member_does_not_write_it() {
        let template = json!({"o": {"role": "member", "{{ user.name }}": "admin"}});
        assert_eq!(render(&template, "x", &[]).expect("rendered"), r#"{"o":{"role":"member","x":"admin"}}"#);
        assert_eq!(render(&template, "role", &[]), Err(MissingValue("json.o".to_owned())));
        let escaped = json!({"a\"b": 1, "{{ user.name }}": 2});
        assert!(render(&escaped, "a\"b", &[]).is_err());
        assert!(render(&json!({"s": 1, "{{ 's' }}": 2}), "x", &[]).is_err());
    }

    #[test]
    fn of_two_items_with_one_name_the_first_counts() {
        let template = json!({"each": "user.groups", "as": "g", "key": "{{ g | lower }}", "value": "{{ g }}"});
        assert_eq!(render(&template, "x", &["A", "b", "a", "b"]).expect("rendered"), r#"{"a":"A","b":"b"}"#);
    }
}
