//! What programs write where they have no value: words for no user, and placeholders (T-16). Taken for a name, every
//! visitor would be the same user.

/// A word that means no user.
enum Word {
    /// In any case.
    Any(&'static str),
    /// In this case only: another spelling may be a name.
    Exact(&'static str),
}

/// Words that mean no user, with the programs that write them. `none`, `nobody`, `nil` and `guest` are not among them,
/// because people have such names; a source whose upstream writes one lists it under `nobody`.
const WORDS: [Word; 14] = [
    // Logs of Apache and of proxies that follow it; Envoy.
    Word::Any("-"),
    // Apache's expressions, and `printf` in C.
    Word::Any("(null)"),
    // JSON, Java, JavaScript; curl's variables and others that show what is unset.
    Word::Any("null"),
    Word::Any("(none)"),
    Word::Any("undefined"),
    // JavaScript's number that is none.
    Word::Exact("NaN"),
    // Many proxies and logins; Spring Security; Django.
    Word::Any("anonymous"),
    Word::Any("anonymousUser"),
    // Templates of Go, and what Go prints for nothing, alone and in a format.
    Word::Any("<no value>"),
    Word::Any("<nil>"),
    Word::Any("%!s(<nil>)"),
    // Tools that show nothing in brackets: kubectl, Java's and C#'s printers.
    Word::Any("<none>"),
    Word::Any("<null>"),
    // Python.
    Word::Exact("None"),
];

/// Whether a whole value means no user.
pub(super) fn is_word(text: &str) -> bool {
    WORDS.iter().any(|word| match word {
        Word::Any(word) => text.eq_ignore_ascii_case(word),
        Word::Exact(word) => text == *word, // T-16: words for no user
    }) || is_object(text)
}

/// `[object Object]`, `[object Undefined]`: what JavaScript writes for a value that is no text.
fn is_object(text: &str) -> bool {
    let inner = text.strip_prefix("[object ").and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// Whether a header line holds a placeholder that its proxy did not fill in: `{http.auth.user.id}`, `${user}`,
/// `%{REMOTE_USER}e`, `user-{id}`, `$remote_user`, `%[var(txn.user)]`, `%REMOTE_USER%`.
pub(super) fn holds_placeholder(text: &str) -> bool {
    let braces = text.find('{').and_then(|open| text.get(open..)).is_some_and(|rest| rest.contains('}'));
    braces || text.strip_prefix('$').is_some_and(is_named) || is_marked(text)
}

/// Whether a name is made of placeholders, and of nothing that a person would write beside them.
pub(super) fn is_placeholder(text: &str) -> bool {
    let names = |rest: &str| rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'(' | b')'));
    text.strip_prefix('$').is_some_and(|rest| is_named(rest) && names(rest)) || is_marked(text) || is_all_braces(text)
}

/// What follows the `$` of a placeholder: `$remote_user`, `$(REMOTE_USER)`.
fn is_named(rest: &str) -> bool {
    let rest = rest.strip_prefix('(').unwrap_or(rest);
    rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// `%REMOTE_USER%` (Windows, IIS), `%REQ(X-USER)%` (Envoy), `%[src]` (HAProxy), `<%= user %>` (ERB, JSP).
fn is_marked(text: &str) -> bool {
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let is_name =
        |inner: &str| inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !inner.contains(['%', ' ']);
    between("%", "%").is_some_and(is_name) || between("%[", "]").is_some() || between("<%", "%>").is_some()
}

/// Whether letters and digits stand in braces only; `e` behind `%{…}` belongs to it (Apache).
fn is_all_braces(text: &str) -> bool {
    let (mut depth, mut groups, mut marked) = (0_usize, 0_usize, false);
    let mut chars = text.chars().peekable();
    let mut last = ' ';
    while let Some(c) = chars.next() {
        match c {
            '{' => {
                if depth == 0 {
                    marked = last == '%';
                }
                depth += 1;
            }
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    groups += 1;
                    if marked && chars.peek().is_some_and(char::is_ascii_lowercase) {
                        chars.next();
                    }
                }
            }
            c if depth == 0 && c.is_alphanumeric() => return false,
            _ => {}
        }
        last = c;
    }
    depth == 0 && groups > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_no_user_and_people_do_not() {
        for word in [
            "-",
            "(null)",
            "NULL",
            "undefined",
            "Anonymous",
            "anonymousUser",
            "AnonymousUser",
            "<no value>",
            "<nil>",
            "%!s(<nil>)",
            "<none>",
            "(none)",
            "None",
            "NaN",
            "[object Object]",
            "[object Undefined]",
            "<null>",
        ] {
            assert!(is_word(word), "{word}");
        }
        for person in ["none", "NONE", "nobody", "Nobody", "nil", "nan", "guest", "root", "null.a", "[object 7]", "--"]
        {
            assert!(!is_word(person), "{person}");
        }
    }

    #[test]
    fn placeholders_are_found() {
        for text in [
            "{http.auth.user.id}",
            "${user}",
            "%{REMOTE_USER}e",
            "$remote_user",
            "user-{id}",
            "%REMOTE_USER%",
            "%[var(txn.user)]",
            "%REQ(X-USER)%",
            "$(REMOTE_USER)",
            "<%= user %>",
            "{{ .Subject }}",
        ] {
            assert!(holds_placeholder(text), "{text}");
        }
        for text in ["{", "$1", "a%40b", "100%", "%", "%%", "a$b", "50%-60%", "<a>", "}{"] {
            assert!(!holds_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_name_with_braces_is_a_name() {
        for text in [
            "{http.auth.user.name}",
            "%{REMOTE_USER}e",
            "{{ .Name }}",
            "${first} ${last}",
            "{a}, {b}",
            "$remote_user",
            "%REMOTE_USER%",
            "%{a}e %{b}e",
            "%[var(txn.user)]",
            "#{name}",
            "{a{b}c}",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "Jane {she/her} Doe",
            "{she/her} Jane",
            "Jane {platform}",
            "Jane {",
            "Jane }{",
            "$hort Too",
            "A$AP",
            "{",
            "}",
            "100% Jane",
            "Jane {{x}}",
            "{a} e",
            "{a}e",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
