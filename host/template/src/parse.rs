//! From the text of a prompt file to messages and segments.

use crate::{MessageTemplate, Prompt, Role, Segment, TemplateError};

/// What happens to the text under an `Assistant:` heading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// A trailing one is cut; one that a `User:` follows is a worked turn.
    #[default]
    Trailing,
    /// Everything from the first line that begins with it is cut, blanks before it allowed: the original's rule,
    /// which knows no worked turns.
    Original,
}

/// Parses a prompt file.
///
/// *Sections.* `System:`, `User:` and `Assistant:` are headings at the very start of a line. With both `System:` and
/// a later `User:`, the text before `System:` is a comment and is dropped. Without `System:` the headings count only
/// where an `Assistant:` stands between two `User:`; any other text, headings and all, is one user message. After
/// the first `User:` a further `System:`, or a `User:` that does not follow an `Assistant:`, is plain text. Each
/// message is trimmed.
///
/// *Placeholders.* `${` up to the next `}` of the same section, the name taken as it stands. `$${` is a literal `${`,
/// so a dollar sign directly before a placeholder cannot be written. Placeholders of a part that is cut are dropped
/// with it (the original still reports them as missing).
///
/// # Errors
/// [`TemplateError`], with the line.
pub fn parse(name: &str, text: &str, cut: Cut) -> Result<Prompt, TemplateError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let kept = match cut {
        Cut::Trailing => text,
        Cut::Original => before_any_assistant(text),
    };
    let sections = sections(name, kept)?;
    let last = sections.len().saturating_sub(1);
    let mut messages = Vec::with_capacity(sections.len());
    for (position, section) in sections.iter().enumerate() {
        let segments = segments(name, section)?;
        if segments.is_empty() && position < last && section.role != Role::System {
            return Err(TemplateError::EmptySection { prompt: name.into(), line: section.line });
        }
        if !segments.is_empty() {
            messages.push(MessageTemplate { role: section.role, segments });
        }
    }
    if messages.last().is_none_or(|message| message.role != Role::User) {
        return Err(TemplateError::Empty { prompt: name.into() });
    }
    Ok(Prompt { name: name.into(), messages })
}

/// A message's text before its placeholders are found.
struct Section<'a> {
    role: Role,
    text: &'a str,
    /// Line of the heading, from 1.
    line: usize,
}

/// A heading found at the start of a line.
#[derive(Clone, Copy)]
struct Heading {
    role: Role,
    /// First byte of the heading.
    start: usize,
    line: usize,
}

impl Heading {
    fn text_start(self) -> usize {
        self.start + self.role.heading().len() + 1
    }
}

fn before_any_assistant(text: &str) -> &str {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start_matches([' ', '\t']).starts_with("Assistant:") {
            return &text[..start];
        }
        start += line.len();
    }
    text
}

fn headings(text: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        for role in [Role::System, Role::User, Role::Assistant] {
            if line.strip_prefix(role.heading()).is_some_and(|rest| rest.starts_with(':')) {
                found.push(Heading { role, start, line: index + 1 });
            }
        }
        start += line.len();
    }
    found
}

fn sections<'a>(name: &str, text: &'a str) -> Result<Vec<Section<'a>>, TemplateError> {
    let headings = headings(text);
    let first_of = |role| headings.iter().position(|heading| heading.role == role);
    let (system, user) = (first_of(Role::System), first_of(Role::User));
    let turns = match (system, user) {
        (Some(system), Some(user)) if user < system => {
            return Err(TemplateError::UserBeforeSystem { prompt: name.into(), line: headings[user].line });
        }
        (Some(system), Some(_)) => turns(&headings[system..]),
        (None, Some(user)) => turns(&headings[user..]),
        _ => Vec::new(),
    };
    let counts = system.is_some() || turns.len() > 2;
    let Some(first) = turns.first().filter(|_| counts) else {
        return Ok(vec![whole(text)]);
    };
    if system.is_none() && !text[..first.start].trim().is_empty() {
        return Err(TemplateError::NoRole { prompt: name.into(), line: 1 });
    }
    let ends = turns.iter().skip(1).map(|next| next.start).chain([text.len()]);
    let mut sections: Vec<Section<'a>> = turns
        .iter()
        .zip(ends)
        .map(|(turn, end)| Section { role: turn.role, text: &text[turn.text_start()..end], line: turn.line })
        .collect();
    if sections.last().is_some_and(|section| section.role == Role::Assistant) {
        sections.pop();
    }
    Ok(sections)
}

/// A text without sections, less a trailing `Assistant:`.
fn whole(text: &str) -> Section<'_> {
    let end = headings(text).iter().find(|heading| heading.role == Role::Assistant).map_or(text.len(), |h| h.start);
    Section { role: Role::User, text: &text[..end], line: 1 }
}

/// The headings that change the speaker; the others are plain text.
fn turns(headings: &[Heading]) -> Vec<Heading> {
    let mut turns: Vec<Heading> = Vec::new();
    for heading in headings {
        let changes = match (turns.last().map(|turn| turn.role), heading.role) {
            (None, _) => true,
            (Some(_), Role::System) => false,
            (Some(speaker), role) => speaker != role,
        };
        if changes {
            turns.push(*heading);
        }
    }
    turns
}

fn segments(name: &str, section: &Section<'_>) -> Result<Vec<Segment>, TemplateError> {
    let blank_start = section.text.len() - section.text.trim_start().len();
    let line_at = |offset: usize| section.line + section.text[..blank_start + offset].matches('\n').count();
    let text = section.text.trim();
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        if text[at..open].ends_with('$') {
            literal.push_str(&text[at..open - 1]);
            literal.push_str("${");
            at = open + 2;
            continue;
        }
        literal.push_str(&text[at..open]);
        let Some(length) = text[open..].find('}') else {
            return Err(TemplateError::Unclosed { prompt: name.into(), line: line_at(open) });
        };
        let placeholder = &text[open + 2..open + length];
        if placeholder.is_empty() {
            return Err(TemplateError::EmptyName { prompt: name.into(), line: line_at(open) });
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(std::mem::take(&mut literal)));
        }
        segments.push(Segment::Placeholder(placeholder.into()));
        at = open + length + 1;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        segments.push(Segment::Literal(literal));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as `role|text`, placeholders as `<name>`.
    fn shape(text: &str, cut: Cut) -> Vec<String> {
        let prompt = parse("p", text, cut).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let show = |segment: &Segment| match segment {
            Segment::Literal(text) => text.clone(),
            Segment::Placeholder(name) => format!("<{name}>"),
        };
        let line = |m: &MessageTemplate| {
            format!("{}|{}", m.role.heading(), m.segments.iter().map(show).collect::<Vec<_>>().concat())
        };
        prompt.messages.iter().map(line).collect()
    }

    fn check(text: &str, expect: &[&str]) {
        assert_eq!(shape(text, Cut::Trailing), expect, "{text:?}");
    }

    fn fails(text: &str, line: usize, words: &str) {
        let error = parse("p", text, Cut::Trailing).expect_err(text);
        assert_eq!(error.line(), line, "{text:?}: {error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn sections_become_messages() {
        check("System: be brief\n\nUser: ${q}\n", &["System|be brief", "User|<q>"]);
        check("System:\n a\n b\nUser:\n c\n", &["System|a\n b", "User|c"]);
        check("<!-- note -->\nSystem: a\nUser: b", &["System|a", "User|b"]);
        check("System:\nUser: b", &["User|b"]);
    }

    #[test]
    fn a_text_without_both_headings_is_one_user_message() {
        check("just ask ${q}", &["User|just ask <q>"]);
        check("User: a", &["User|User: a"]);
        check("System: a", &["User|System: a"]);
        check("  System: a\n  User: b", &["User|System: a\n  User: b"]);
        check("say System: and User: here", &["User|say System: and User: here"]);
        check("\u{feff}ask", &["User|ask"]);
    }

    #[test]
    fn assistant_between_users_is_a_worked_turn_and_a_trailing_one_is_cut() {
        check(
            "System: s\nUser: 1\nAssistant: one\nUser: 2\nAssistant: two\nUser: ${q}\nAssistant:",
            &["System|s", "User|1", "Assistant|one", "User|2", "Assistant|two", "User|<q>"],
        );
        check("User: 1\nAssistant: one\nUser: ${q}", &["User|1", "Assistant|one", "User|<q>"]);
        check("ask ${q}\nAssistant: ${gone", &["User|ask <q>"]);
        check("System: s\nUser: u\nAssistant: x\ny", &["System|s", "User|u"]);
        check("System: s\nAssistant: hello\nUser: u", &["System|s", "Assistant|hello", "User|u"]);
    }

    #[test]
    fn a_heading_that_changes_no_speaker_is_text() {
        check("System: a\nSystem: b\nUser: c", &["System|a\nSystem: b", "User|c"]);
        check("System: a\nUser: b\nUser: c\nSystem: d", &["System|a", "User|b\nUser: c\nSystem: d"]);
        check("System: a\nUser: Systematic\nUsers: x", &["System|a", "User|Systematic\nUsers: x"]);
    }

    #[test]
    fn the_originals_cut_takes_everything_after_the_first_assistant() {
        let text = "System: s\nUser: 1\n \tAssistant: one\nUser: 2";
        assert_eq!(shape(text, Cut::Original), ["System|s", "User|1"]);
        assert_eq!(shape(text, Cut::Trailing), ["System|s", "User|1\n \tAssistant: one\nUser: 2"]);
    }

    #[test]
    fn placeholders_are_taken_as_they_stand() {
        check("${a}${ b }", &["User|<a>< b >"]);
        check("${a${b}}", &["User|<a${b>}"]);
        check("$5 and $ {x}", &["User|$5 and $ {x}"]);
        check("${steps.r.output}", &["User|<steps.r.output>"]);
    }

    #[test]
    fn two_dollars_escape_a_placeholder() {
        check("$${a} ${a}", &["User|${a} <a>"]);
        check("$$${a}", &["User|$${a}"]);
        check("$${", &["User|${"]);
    }

    #[test]
    fn errors_name_their_line() {
        fails("a\nb ${c", 2, "never closed");
        fails("System: ${x\nUser: }", 1, "never closed");
        fails("System: a\n\nUser:\n\nb ${}", 5, "names no value");
        fails("User: a\nSystem: b\nUser: c", 1, "before `System:`");
        fails("Be brief.\nUser: a\nAssistant: b\nUser: c", 1, "has no role");
        fails("System: a\nUser: b\nAssistant:\nUser: c", 3, "empty");
        fails(" \n", 1, "empty");
        fails("System: a\nUser:", 1, "empty");
    }
}
