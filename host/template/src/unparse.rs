//! From a parsed prompt back to the text of a file.

use crate::{Cut, MessageTemplate, Prompt, Role, Segment, parse};

/// The text of a prompt file that parses to this prompt.
///
/// Holds for every prompt that [`crate::parse`] made. A prompt put together by hand can say what no file can: a
/// literal that ends in `$` before a placeholder, or a heading of another speaker at the start of a line. Parse the
/// result again where that matters.
pub fn unparse(prompt: &Prompt) -> String {
    let plain = match prompt.messages.as_slice() {
        [only] if only.role == Role::User => text(&only.segments) + "\n",
        _ => sections(prompt),
    };
    if parse(&prompt.name, &plain, Cut::Trailing).as_ref() == Ok(prompt) {
        plain
    } else {
        // An empty system section makes headings count that would otherwise be text, or the other way round.
        format!("System:\n\n{}", sections(prompt))
    }
}

fn sections(prompt: &Prompt) -> String {
    let section = |message: &MessageTemplate| format!("{}: {}\n", message.role.heading(), text(&message.segments));
    prompt.messages.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn text(segments: &[Segment]) -> String {
    let mut text = String::new();
    for segment in segments {
        match segment {
            Segment::Literal(literal) => text.push_str(&literal.replace("${", "$${")),
            Segment::Placeholder(name) => {
                text.push_str("${");
                text.push_str(name);
                text.push('}');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_parsed_is_written_back() {
        for file in [
            "ask ${q}\n",
            "System: a $${b} $$${c} ${d}\n\nUser: e\n",
            "System: s\n\nUser: 1\n\nAssistant: one\n\nUser: ${q}\n",
            "User: 1\n\nAssistant: one\n\nUser: ${q}\n",
            "System:\n\nAssistant: hello\n\nUser: ${q}\n",
            "User: literal\n",
            "System:\n\nUser: a\nSystem: b\nUser: c\n",
        ] {
            let prompt = parse("p", file, Cut::Trailing).expect(file);
            let written = unparse(&prompt);
            assert_eq!(written, file);
            assert_eq!(parse("p", &written, Cut::Trailing).expect(file), prompt);
        }
        let dropped = parse("p", "note\nSystem:  a\nUser:b\nAssistant:", Cut::Trailing).expect("prompt");
        assert_eq!(unparse(&dropped), "System: a\n\nUser: b\n");
    }
}
