//! Hostile proposals are blocked each with its reason; innocent ones pass.

use fapo_core::case::Case;
use fapo_core::ports::Definition;
use fapo_core::review::{Leaks, Review, Reviewed, Severity, Verdict, review};
use fapo_core::scope::ScopeContract;
use fapo_core::variant::{Edit, Proposal, ReviewedVariant};
use fapo_graph::{Catalogue, Edge, GraphSpec, Handle, HandleKind, NodeKind, Parameter};
use fapo_template::{Cut, Prompt, parse};
use serde_json::{Value, json};

/// The playbook of the tenant itself.
const CTIBENCH: &str = include_str!("../../../tenants/ctibench_rcm/docs/iteration-playbook.md");

const PLAYBOOK: &str = "```toml scope\nlevels = [\"prompt\", \"parameter\", \"structure\"]\nfiles = [\"prompts/modules/*/variant-*.md\"]\n\
    parameters = { depth = [1, 20], temperature = [0, 2] }\npatterns = [\"extract\"]\nconstants = [\"temperature\"]\n```\n";
const PROMPT: &str = "System: Answer the question.\n\nUser: Passages:\n${steps.find.output}\n\nQuestion: ${question}\n";

fn prompt(text: &str) -> Prompt {
    parse("answer", text, Cut::Trailing).expect("a prompt")
}

fn graph() -> GraphSpec {
    let graph = json!({
        "nodes": [
            {"name": "find", "kind": "find", "settings": {"k": {"param": "depth"}}, "handles": [{"index": "wiki"}]},
            {"name": "answer", "kind": "ask", "prompt": "answer", "handles": [{"model": "task"}]}
        ],
        "edges": [{"source": "find", "target": "answer"}],
        "output": "answer",
    });
    serde_json::from_value(graph).expect("a graph")
}

fn parent() -> Definition {
    Definition {
        graph: graph(),
        prompts: vec![prompt(PROMPT)],
        params: vec![("depth".into(), json!(7)), ("temperature".into(), json!(0))],
    }
}

fn catalogue() -> Catalogue {
    let kind = |name: &str, takes_prompt: bool, handles: Vec<HandleKind>| NodeKind {
        name: name.into(),
        summary: name.into(),
        settings_schema: json!({"type": "object", "properties": {"k": {"type": "integer", "minimum": 1, "maximum": 100}, "mode": {"type": "string"}, "kind": {"type": "string"}, "settings": {"type": "object"}}}),
        inputs: vec![],
        outputs: vec!["text".into()],
        takes_prompt,
        handles,
        deterministic: true,
    };
    let parameter = |name: &str, schema: Value, default: Value| Parameter {
        name: name.into(),
        summary: name.into(),
        schema,
        default,
    };
    Catalogue {
        kinds: vec![
            kind("find", false, vec![HandleKind::Index]),
            kind("ask", true, vec![HandleKind::Model]),
            kind("extract", false, vec![]),
            kind("component", false, vec![HandleKind::Component]),
        ],
        parameters: vec![
            parameter("depth", json!({"type": "integer", "minimum": 1, "maximum": 100}), json!(7)),
            parameter("temperature", json!({"type": "number"}), json!(0)),
        ],
        baseline: graph(),
    }
}

fn leaks() -> Leaks {
    let case = |question: &str, answer: &str| Case {
        case_id: question.into(),
        task_type: "qa".into(),
        context: vec![("question".into(), question.into())],
        expected: json!({"answer": answer}).as_object().expect("an object").clone(),
        metadata: Default::default(),
    };
    let mut leaks = Leaks::default();
    leaks.add(&[case("Which guild painted the old gate of Rundle in the year 1711?", "the dyers of Rundle")]);
    leaks.add(&[case("Where does the otter of Pendle hunt after dusk in spring?", "Willow Reach")]);
    leaks
}

fn reviewed(edit: Edit, files: &[&str], scope: &str) -> Review {
    let (parent, catalogue, leaks) = (parent(), catalogue(), leaks());
    let candidate = edit.apply(&parent);
    let proposal = Proposal {
        operator: "test".into(),
        step: "answer".into(),
        edit,
        hypothesis: "h".into(),
        files: files.iter().map(|file| (*file).to_string()).collect(),
    };
    let scope = ScopeContract::from_playbook("p.md", scope).expect("a scope");
    let review = review(&Reviewed {
        tenant_id: "mine",
        parent: &parent,
        candidate: &candidate,
        proposal: &proposal,
        scope: &scope,
        catalogue: &catalogue,
        leaks: &leaks,
        stands: &|file| file == "prompts/modules/answer/variant-001.md",
    });
    assert_eq!(ReviewedVariant::new(candidate, &review).is_some(), review.verdict != Verdict::Block);
    review
}

fn rule(sentence: &str) -> Edit {
    Edit::Prompt(prompt(&PROMPT.replace("Answer the question.", &format!("Answer the question. {sentence}"))))
}

fn structure(change: impl Fn(&mut GraphSpec)) -> Edit {
    let mut graph = graph();
    change(&mut graph);
    Edit::Structure { pattern: "extract".into(), graph, prompts: vec![] }
}

fn extract(graph: &mut GraphSpec) {
    graph.nodes.push(serde_json::from_value(json!({"name": "short", "kind": "extract"})).expect("a node"));
    graph.edges.push(Edge { source: "answer".into(), target: "short".into(), when: None, visits_max: None });
    graph.output = "short".into();
}

#[test]
fn hostile_proposals_are_blocked_each_with_its_reason() {
    let huge = "Be brief and exact in what you say. ".repeat(30_000);
    let only_prompts = PLAYBOOK.replace(", \"parameter\", \"structure\"", "");
    for (name, edit, files, scope, check) in [
        ("an answer of train", rule("The guild is the dyers of Rundle."), &[][..], PLAYBOOK, "leak_answer"),
        ("an answer of validation", rule("Think of Willow Reach."), &[], PLAYBOOK, "leak_answer"),
        (
            "a question of validation",
            rule("Where does the otter of Pendle hunt after dusk in spring?"),
            &[],
            PLAYBOOK,
            "leak_text",
        ),
        ("a forbidden level", structure(extract), &[], only_prompts.as_str(), "scope_level"),
        ("a structure where CTIBench's protocol has prompts alone", structure(extract), &[], CTIBENCH, "scope_level"),
        ("no scope at all", rule("Be brief."), &[], "", "scope_level"),
        (
            "a placeholder dropped",
            Edit::Prompt(prompt(&PROMPT.replace("Question: ${question}", ""))),
            &[],
            PLAYBOOK,
            "placeholders",
        ),
        (
            "a constant changed",
            Edit::Parameter { name: "temperature".into(), value: json!(1) },
            &[],
            PLAYBOOK,
            "constants",
        ),
        ("a value outside", Edit::Parameter { name: "depth".into(), value: json!(21) }, &[], PLAYBOOK, "scope_detail"),
        (
            "an edit of a file that stands",
            rule("Be brief."),
            &["prompts/modules/answer/variant-001.md"],
            PLAYBOOK,
            "immutability",
        ),
        ("a path outside", rule("Be brief."), &["../other/prompts/x.md"], PLAYBOOK, "tenant_isolation"),
        ("another tenant's folder", rule("See tenants/theirs/examples."), &[], PLAYBOOK, "tenant_isolation"),
        (
            "a loop without a bound",
            structure(|g| {
                g.edges.push(Edge { source: "answer".into(), target: "find".into(), when: None, visits_max: None })
            }),
            &[],
            PLAYBOOK,
            "graph",
        ),
        (
            "a loop of 1000 visits",
            structure(|g| {
                g.edges.push(Edge {
                    source: "answer".into(),
                    target: "find".into(),
                    when: None,
                    visits_max: Some(1000),
                })
            }),
            &[],
            PLAYBOOK,
            "graph",
        ),
        ("a prompt of a megabyte", rule(&huge), &[], PLAYBOOK, "size"),
        (
            "a new model",
            structure(|g| g.nodes[1].handles = vec![Handle::Model("other".into())]),
            &[],
            PLAYBOOK,
            "capabilities",
        ),
        (
            "a pattern that is not named",
            match structure(extract) {
                Edit::Structure { graph, prompts, .. } => Edit::Structure { pattern: "vote".into(), graph, prompts },
                other => other,
            },
            &[],
            PLAYBOOK,
            "scope_detail",
        ),
        (
            "an answer as a literal",
            structure(|g| {
                extract(g);
                g.nodes[2].settings.insert("mode".into(), json!("the dyers of Rundle"));
            }),
            &[],
            PLAYBOOK,
            "leak_answer",
        ),
        ("nothing", Edit::Prompt(prompt(PROMPT)), &[], PLAYBOOK, "change"),
    ] {
        let review = reviewed(edit, files, scope);
        assert_eq!(review.verdict, Verdict::Block, "{name}");
        let found: Vec<&str> = review.issues.iter().map(|issue| issue.check.as_str()).collect();
        assert!(found.contains(&check), "{name}: {check} among {found:?}");
        for issue in &review.issues {
            assert!(!issue.description.contains("Willow"), "a review shows no text of a held-out split: {issue:?}");
            assert!(!issue.suggestion.is_empty());
        }
    }
}

#[test]
fn a_script_and_its_component_need_their_names_in_the_scope_and_leak_nothing() {
    let scripted = |name: &str, source: &str| {
        let settings = json!({"kind": "script", "settings": {"script": name, "source": source}});
        let node =
            json!({"name": "short", "kind": "component", "settings": settings, "handles": [{"component": "script"}]});
        structure(move |g| {
            extract(g);
            g.nodes[2] = serde_json::from_value(node.clone()).expect("a node");
        })
    };
    let open = PLAYBOOK.replace("\n```\n", "\ncomponents = [\"script\"]\nscripts = [\"tidy\"]\n```\n");
    let blocked_by = |edit: Edit, scope: &str| -> Vec<String> {
        let review = reviewed(edit, &[], scope);
        review.issues.into_iter().filter(|i| i.severity == Severity::Block).map(|i| i.check).collect()
    };
    assert!(blocked_by(scripted("tidy", "text.trim(); text"), &open).is_empty());
    assert_eq!(blocked_by(scripted("tidy", "text"), PLAYBOOK), ["capabilities", "scripts"]);
    assert_eq!(blocked_by(scripted("other", "text"), &open), ["scripts"]);
    assert_eq!(blocked_by(scripted("tidy", &" ".repeat(20_000)), &open), ["scripts"]);
    // A line's end between two words hides nothing.
    assert_eq!(
        blocked_by(scripted("tidy", "if question.contains(\"otter\") {\n\"Willow\nReach\" }"), &open),
        ["leak_answer"]
    );
    let split = "// Which guild painted\n// the old gate of Rundle\n// in the year 1711?\ntext";
    assert_eq!(blocked_by(scripted("tidy", split), &open), ["leak_text"]);
}

#[test]
fn innocent_proposals_pass() {
    let turns = "System: Answer the question.\n\nUser: Passages:\n[1] «Tidewell is a village.»\n\nQuestion: What is Tidewell?\n\n\
                 Assistant: a village\n\nUser: Passages:\n${steps.find.output}\n\nQuestion: ${question}\n";
    for (name, edit) in [
        ("brevity", rule("Give the shortest phrase that answers.")),
        ("must answer", rule("Always give an answer.")),
        ("verbatim", rule("Copy the words of the passage.")),
        ("last line", rule("Write the answer on the last line.")),
        ("cue", Edit::Prompt(prompt(&PROMPT.replace("${question}\n", "${question}\nAnswer:\n")))),
        ("turns of its own", Edit::Prompt(prompt(turns))),
        ("a rule deleted", Edit::Prompt(prompt(&PROMPT.replace("Answer the question.", "Answer.")))),
        ("more passages", Edit::Parameter { name: "depth".into(), value: json!(14) }),
        ("fewer passages", Edit::Parameter { name: "depth".into(), value: json!(1) }),
        ("a node that extracts", structure(extract)),
    ] {
        let review = reviewed(edit, &["prompts/modules/answer/variant-002.md"], PLAYBOOK);
        assert_eq!(review.verdict, Verdict::Pass, "{name}: {:?}", review.issues);
    }
}
