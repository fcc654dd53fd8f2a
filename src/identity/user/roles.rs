//! From the groups that an upstream tells to the roles that an operator means by them.
//!
//! Groups are whatever a directory holds, and none escapes its separator. Only those that the operator lists count; the
//! rest are dropped.

use std::collections::BTreeMap;

use super::identity::Identity;

/// Which groups make which role.
#[derive(Clone, Debug, Default)]
pub struct Roles(Vec<(String, Vec<String>)>);

impl Roles {
    /// No roles at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Groups by role, as configured.
    pub fn new(configured: &BTreeMap<String, Vec<String>>) -> Self {
        Self(configured.iter().map(|(role, groups)| (role.clone(), groups.clone())).collect())
    }

    /// The roles of `identity`, in the order of their names, whatever the order of the groups.
    pub fn of(&self, identity: &Identity<'_>) -> Vec<&str> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let own: Vec<&str> = identity.groups().collect();
        let has = |groups: &[String]| groups.iter().any(|group| own.contains(&group.as_str()));
        self.0.iter().filter(|(_, groups)| has(groups)).map(|(role, _)| role.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_groups_make_roles_and_others_make_none() {
        let roles = Roles::new(&BTreeMap::from([
            ("moderator".to_owned(), vec!["chat-mods".to_owned(), "admins".to_owned()]),
            ("agent".to_owned(), vec!["support".to_owned()]),
        ]));
        for (groups, expected) in [
            ("", &[][..]),
            ("staff,Admins", &[]),
            ("admins", &["moderator"]),
            ("support,chat-mods,admins", &["agent", "moderator"]),
            ("admins,support", &["agent", "moderator"]),
        ] {
            let identity = Identity::of_operator("alice", None).expect("an identity").with(None, groups);
            assert_eq!(roles.of(&identity), expected, "{groups}");
        }
        let admin = Identity::of_operator("alice", None).expect("an identity").with(None, "admins");
        assert!(Roles::none().of(&admin).is_empty());
    }
}
