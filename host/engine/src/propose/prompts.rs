//! Operators on the wording of a prompt.

use super::{Ground, Suggestion};
use fapo_core::variant::Edit;
use fapo_template::{MessageTemplate, Prompt, Role, Segment};

/// Turns of the two few-shot variants.
const TURNS: [usize; 2] = [4, 8];
/// Labels that still make a list one can read.
const LABELS_MAX: usize = 30;
/// The cue at the end of the question.
const CUE: &str = "Answer:";

fn prompt<'a>(ground: &Ground<'a>) -> Option<&'a Prompt> {
    let name = ground.prompted()?.prompt.clone()?;
    ground.definition.prompts.iter().find(|prompt| prompt.name == name)
}

pub(super) fn few_shot_turns(ground: &Ground<'_>) -> Vec<Suggestion> {
    let Some(prompt) = prompt(ground) else {
        return Vec::new();
    };
    // Examples are shown as chat turns, which a prompt has once.
    if prompt.messages.iter().any(|message| message.role == Role::Assistant) {
        return Vec::new();
    }
    let Some(asked) = prompt.messages.iter().rposition(|message| message.role == Role::User) else {
        return Vec::new();
    };
    let mut suggestions = Vec::new();
    for count in TURNS {
        let turns: Vec<MessageTemplate> =
            ground.examples.iter().filter_map(|example| example.turns(prompt)).take(count).flatten().collect();
        if turns.len() < 2 * count {
            continue;
        }
        let mut changed = prompt.clone();
        changed.messages.splice(asked..asked, turns);
        suggestions.push(Suggestion {
            variation: count.to_string(),
            edit: Edit::Prompt(changed),
            hypothesis: format!(
                "{count} worked examples as chat turns show the form that is expected, better than a rule says it"
            ),
        });
    }
    suggestions
}

pub(super) fn answer_cue(ground: &Ground<'_>) -> Vec<Suggestion> {
    let Some(prompt) = prompt(ground) else {
        return Vec::new();
    };
    let mut changed = prompt.clone();
    // Worked examples that stand get the same cue, or they would show another form than is asked for.
    let mut touched = false;
    for message in changed.messages.iter_mut().filter(|message| message.role == Role::User) {
        if let Some(Segment::Literal(text)) = message.segments.last()
            && text.trim_end().ends_with(CUE)
        {
            continue;
        }
        touched = true;
        match message.segments.last_mut() {
            Some(Segment::Literal(text)) => {
                text.truncate(text.trim_end().len());
                text.push_str(&format!("\n{CUE}"));
            }
            _ => message.segments.push(Segment::Literal(format!("\n{CUE}"))),
        }
    }
    if !touched {
        return Vec::new();
    }
    vec![suggest(changed, "a cue at the end of the question makes the reply begin with the answer")]
}

pub(super) fn brevity_rule(ground: &Ground<'_>) -> Vec<Suggestion> {
    rule(
        ground,
        "Give the shortest phrase that answers, with nothing before or after it.",
        "the answer is in the reply, but in a sentence around it",
    )
}

pub(super) fn must_answer_rule(ground: &Ground<'_>) -> Vec<Suggestion> {
    rule(
        ground,
        "Always give the most likely answer; never say that you cannot tell.",
        "the model gives up where the evidence is at hand",
    )
}

pub(super) fn copy_verbatim_rule(ground: &Ground<'_>) -> Vec<Suggestion> {
    rule(
        ground,
        "Copy the answer word for word from the text that is given.",
        "the answer is given in other words than those of the text",
    )
}

pub(super) fn last_line_rule(ground: &Ground<'_>) -> Vec<Suggestion> {
    rule(ground, "Write the answer alone on the last line.", "the answer is not where it is looked for")
}

pub(super) fn label_list(ground: &Ground<'_>) -> Vec<Suggestion> {
    if ground.labels.len() < 2 || ground.labels.len() > LABELS_MAX {
        return Vec::new();
    }
    let text = format!("Answer with exactly one of: {}.", ground.labels.join(", "));
    rule(ground, &text, "the reply is none of the labels, or another spelling of one")
}

/// Takes the last sentence of the instructions away: a rule that costs nothing when it is gone was none.
pub(super) fn rule_deletion(ground: &Ground<'_>) -> Vec<Suggestion> {
    let Some(prompt) = prompt(ground) else {
        return Vec::new();
    };
    let mut changed = prompt.clone();
    let system = changed.messages.iter_mut().find(|message| message.role == Role::System);
    let Some(Segment::Literal(text)) = system.and_then(|message| message.segments.last_mut()) else {
        return Vec::new();
    };
    let body = text.trim_end().trim_end_matches('.');
    let Some(at) = body.rfind(". ") else {
        return Vec::new();
    };
    text.truncate(at + 1);
    vec![suggest(changed, "the last rule of the instructions does no good, and a shorter prompt is followed better")]
}

/// Adds a sentence to the instructions, unless it stands there.
fn rule(ground: &Ground<'_>, sentence: &str, hypothesis: &str) -> Vec<Suggestion> {
    let Some(prompt) = prompt(ground) else {
        return Vec::new();
    };
    let mut changed = prompt.clone();
    let literal = |text: &str| Segment::Literal(text.to_string());
    match changed.messages.iter_mut().find(|message| message.role == Role::System) {
        Some(system) => match system.segments.last_mut() {
            Some(Segment::Literal(text)) if text.contains(sentence) => return Vec::new(),
            Some(Segment::Literal(text)) => {
                text.truncate(text.trim_end().len());
                text.push_str(&format!(" {sentence}"));
            }
            _ => system.segments.push(literal(&format!(" {sentence}"))),
        },
        None => changed.messages.insert(0, MessageTemplate { role: Role::System, segments: vec![literal(sentence)] }),
    }
    vec![suggest(changed, hypothesis)]
}

fn suggest(prompt: Prompt, hypothesis: &str) -> Suggestion {
    Suggestion { variation: String::new(), edit: Edit::Prompt(prompt), hypothesis: hypothesis.to_string() }
}
