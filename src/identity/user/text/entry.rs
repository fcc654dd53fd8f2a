//! What an entry of a list of users means: an id that a source can yield, or a mistake. An entry that is meant to lock a
//! user out and matches no user must be reported.

use super::{Medium, SubjectFault, subject};

/// What the subjects of a source have in common.
#[derive(Clone, Debug)]
pub(in crate::identity) struct SubjectRules {
    pub(in crate::identity) medium: Medium,
    /// Words that mean no user, beside those that hold for every source.
    pub(in crate::identity) nobody: Vec<String>,
    /// Whether they are made lower case.
    pub(in crate::identity) lower_case: bool,
    /// How they begin, where that is known.
    pub(in crate::identity) prefixes: Vec<String>,
}

impl SubjectRules {
    /// Subjects of which nothing else is known.
    pub(in crate::identity) const fn of(medium: Medium) -> Self {
        Self { medium, nobody: Vec::new(), lower_case: false, prefixes: Vec::new() }
    }

    /// Whether the source could tell this subject; otherwise why not, after «because it».
    pub(in crate::identity) fn check(&self, text: &str) -> Result<(), &'static str> {
        subject(text, self.medium).map_err(why)?;
        if self.nobody.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Err(why(SubjectFault::Absent));
        }
        if self.lower_case && text.to_lowercase() != text {
            return Err("is not in lower case, as the source makes its subjects");
        }
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(|prefix| text.starts_with(prefix.as_str())) {
            return Err("does not begin as the subjects of the source do");
        }
        Ok(())
    }
}

const fn why(fault: SubjectFault) -> &'static str {
    match fault {
        SubjectFault::Absent => "is empty, or a word that means no user",
        SubjectFault::Template => "looks like a placeholder",
        SubjectFault::Encoding => "is not UTF-8",
        SubjectFault::Character => {
            "holds a character that no subject has: a tab, an invisible one, or a blank at an end"
        }
        SubjectFault::Comma => "holds a comma, which no subject of the source has; write one id in each entry",
        SubjectFault::TooLong => "is longer than 255 bytes",
    }
}

/// Whether an entry is written as an id; otherwise why not, after «because it». Some ids could look like this, and none
/// of a known provider does: these are what remains of CSV, JSON, YAML and of comments behind an id.
pub(in crate::identity) fn written_as_id(entry: &str) -> Result<(), &'static str> {
    const QUOTES: [char; 10] = ['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»'];
    let is_quoted = entry.starts_with('"') || entry.starts_with(QUOTES) && entry.ends_with(QUOTES);
    if entry.ends_with([',', ';']) {
        Err("ends with a comma or semicolon; write one id in each entry")
    } else if is_quoted || entry.ends_with('"') {
        Err("stands in quotes; write the id alone")
    } else if [" #", " //", " ;"].iter().any(|mark| entry.contains(mark)) {
        Err("has a comment behind it; write comments on lines of their own, after a #")
    } else if ["//", "; ", "- ", "* "].iter().any(|mark| entry.starts_with(mark)) {
        Err("begins like a comment, or like an item of another kind of list")
    } else if matches!(entry, "[" | "]" | "{" | "}") || entry.starts_with('[') && entry.contains('"') {
        Err("is a piece of JSON")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_told() {
        for id in [
            "alice",
            "alice@example.org",
            "auth0|5f7c",
            "two words",
            "a#b",
            "#1",
            "o'neil",
            "https://idp.example/u/7",
            "cn=alice,dc=example",
            "-x",
            "a;b",
            "[abc]",
        ] {
            assert_eq!(written_as_id(id), Ok(()), "{id}");
        }
        for (text, problem_part) in [
            ("alice,", "comma"),
            ("\"alice\",", "comma"),
            ("alice;", "comma"),
            ("\"alice\"", "quotes"),
            ("'alice'", "quotes"),
            ("“alice”", "quotes"),
            ("«alice»", "quotes"),
            ("\"alice", "quotes"),
            ("alice\"", "quotes"),
            ("alice # left in May", "comment"),
            ("alice #left", "comment"),
            ("alice // left", "comment"),
            ("alice ; left", "comment"),
            ("// alice", "comment"),
            ("- alice", "list"),
            ("[\"alice\"]", "JSON"),
            ("[", "JSON"),
        ] {
            let problem = written_as_id(text).expect_err(text);
            assert!(problem.contains(problem_part), "{text}: {problem}");
        }
    }

    #[test]
    fn what_a_source_cannot_tell_matches_no_user() {
        let lines = SubjectRules::of(Medium::Line);
        let lower =
            SubjectRules { lower_case: true, nobody: vec!["guest".to_owned()], ..SubjectRules::of(Medium::Value) };
        let spiffe = SubjectRules { prefixes: vec!["spiffe://corp/".to_owned()], ..SubjectRules::of(Medium::Signed) };
        for (rules, text, is_fine) in [
            (&lines, "alice", true),
            (&lines, "two words", true),
            (&lines, "bob,alice", false),
            (&lines, "{6f96}", false),
            (&lines, "al\u{200b}ice", false),
            (&lines, "alice\tleft", false),
            (&lines, "null", false),
            (&lower, "alice", true),
            (&lower, "cn=a,dc=b", true),
            (&lower, "Alice", false),
            (&lower, "guest", false),
            (&spiffe, "spiffe://corp/web", true),
            (&spiffe, "alice", false),
        ] {
            assert_eq!(rules.check(text).is_ok(), is_fine, "{text}");
        }
    }
}
