//! A node component that runs a script: small changes of text that no built-in kind makes, written down in a file of
//! the variant.
//!
//! A script sees the node's ports and nothing else, and its last expression is the node's output. The language is
//! rhai's with strings, lists, maps and arithmetic; it has no modules, no `eval`, no clock and no randomness, and its
//! operations, depth and sizes are bounded below the sandbox's own limits, so that a fault is told in the script's
//! words.

use fapo_tenant_sdk::{
    Entry, Host, LogLevel, NodeComponent, NodeInput, NodeOutput, OfferedKind, Value, export_node, json,
};
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LanguageCorePackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, Scope};
use std::cell::RefCell;
use std::rc::Rc;

/// Longest script, bytes.
const SOURCE_BYTES_MAX: usize = 16 << 10;
/// Most operations of one call.
const OPERATIONS_MAX: u64 = 1_000_000;
/// Deepest calls of functions.
const CALL_LEVELS_MAX: usize = 32;
/// Deepest nesting of expressions, outside and inside of functions.
const EXPRESSION_DEPTH_MAX: usize = 64;
/// Longest text, bytes.
const STRING_BYTES_MAX: usize = 1 << 20;
/// Longest list.
const ARRAY_MAX: usize = 10_000;
/// Largest map.
const MAP_MAX: usize = 1_000;
/// Variables at one time.
const VARIABLES_MAX: usize = 256;
/// Functions of one script.
const FUNCTIONS_MAX: usize = 64;
/// Lines of `print` that go to the log.
const PRINTED_MAX: usize = 32;

/// The component.
pub struct Script;

impl NodeComponent for Script {
    fn kinds() -> Vec<OfferedKind> {
        vec![OfferedKind {
            name: "script".into(),
            summary: "Runs a script over its ports; the script's last expression is the output.".into(),
            settings_schema: json!({
                "type": "object", "required": ["source"], "additionalProperties": false,
                "properties": {
                    "script": {"type": "string", "description": "Name of the script file."},
                    "source": {"type": "string", "maxLength": SOURCE_BYTES_MAX, "description": "Its text; put in by the host."},
                },
            }),
            ports: ["text", "question", "passages", "a", "b", "c"].map(String::from).to_vec(),
            outputs: vec!["text".into()],
        }]
    }

    fn run(input: &NodeInput, host: &mut dyn Host) -> Result<NodeOutput, String> {
        if input.kind != "script" {
            return Err(format!("there is no kind {:?}; there is: script", input.kind));
        }
        let source = input.settings.get("source").and_then(Value::as_str).ok_or("setting `source` is missing")?;
        let ports: Vec<(&str, &str)> = input.ports.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        let (result, printed) = evaluate(source, &ports);
        printed.iter().for_each(|line| host.log(LogLevel::Info, line));
        let name = input.settings.get("script").and_then(Value::as_str).unwrap_or("script");
        let text = result.map_err(|why| format!("script {name}: {why}"))?;
        Ok(NodeOutput { outputs: vec![Entry::new("text", text)], diagnostics: Vec::new() })
    }
}

/// The text that a script makes of its ports, or what is wrong with it; and what it printed.
pub fn evaluate(source: &str, ports: &[(&str, &str)]) -> (Result<String, String>, Vec<String>) {
    if source.len() > SOURCE_BYTES_MAX {
        return (Err(format!("is longer than {SOURCE_BYTES_MAX} bytes")), Vec::new());
    }
    let printed = Rc::new(RefCell::new(Vec::new()));
    let engine = engine(&printed);
    let mut scope = Scope::new();
    for (name, value) in ports {
        scope.push_constant(*name, (*value).to_string());
    }
    let result = engine.eval_with_scope::<Dynamic>(&mut scope, source).map_err(|e| e.to_string()).and_then(text_of);
    drop(engine);
    let printed = printed.take();
    (result, printed)
}

fn text_of(value: Dynamic) -> Result<String, String> {
    if value.is_string() || value.is_int() || value.is_float() || value.is_bool() || value.is_char() {
        return Ok(value.to_string());
    }
    Err(format!("its last expression is of type {}, not a text, a number or a truth value", value.type_name()))
}

fn engine(printed: &Rc<RefCell<Vec<String>>>) -> Engine {
    let mut engine = Engine::new_raw();
    engine
        .register_global_module(LanguageCorePackage::new().as_shared_module())
        .register_global_module(ArithmeticPackage::new().as_shared_module())
        .register_global_module(LogicPackage::new().as_shared_module())
        .register_global_module(BasicStringPackage::new().as_shared_module())
        .register_global_module(BasicIteratorPackage::new().as_shared_module())
        .register_global_module(BasicFnPackage::new().as_shared_module())
        .register_global_module(MoreStringPackage::new().as_shared_module())
        .register_global_module(BasicArrayPackage::new().as_shared_module())
        .register_global_module(BasicMapPackage::new().as_shared_module())
        .register_global_module(BasicMathPackage::new().as_shared_module());
    engine
        .disable_symbol("eval")
        .set_max_operations(OPERATIONS_MAX)
        .set_max_call_levels(CALL_LEVELS_MAX)
        .set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX)
        .set_max_string_size(STRING_BYTES_MAX)
        .set_max_array_size(ARRAY_MAX)
        .set_max_map_size(MAP_MAX)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX);
    let (print, debug) = (Rc::clone(printed), Rc::clone(printed));
    let keep = |lines: &Rc<RefCell<Vec<String>>>, line: &str| {
        let mut lines = lines.borrow_mut();
        if lines.len() < PRINTED_MAX {
            lines.push(line.to_string());
        }
    };
    engine.on_print(move |line| keep(&print, line));
    engine.on_debug(move |line, _, _| keep(&debug, line));
    engine
}

export_node!(Script);

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: &str) -> String {
        evaluate(source, &[("text", "  Paris, France. "), ("question", "Which?")])
            .0
            .unwrap_or_else(|why| panic!("{source}: {why}"))
    }

    #[test]
    fn a_script_makes_a_text_of_its_ports() {
        for (source, text) in [
            ("text", "  Paris, France. "),
            ("let t = text; t.trim(); t", "Paris, France."),
            ("let p = text.split(\",\"); let t = p[0]; t.trim(); t.to_upper()", "PARIS"),
            ("1 + 2 * 3", "7"),
            ("text.contains(question)", "false"),
            ("let m = #{a: 1}; m.a += 1; m.a", "2"),
            ("fn twice(x) { x + x } twice(\"ab\")", "abab"),
            ("let out = \"\"; for w in [\"a\", \"b\"] { out += w; } out", "ab"),
        ] {
            assert_eq!(said(source), text, "{source}");
        }
        assert_eq!(evaluate("print(\"note\"); 1", &[]), (Ok("1".into()), vec!["note".into()]));
    }

    #[test]
    fn what_a_script_may_not_do_is_said_in_its_words() {
        let long = "x".repeat(SOURCE_BYTES_MAX + 1);
        for (source, says) in [
            ("", "not a text"),
            ("[1, 2]", "not a text"),
            ("let x = ", "Script is incomplete"),
            ("nothing", "Variable not found: nothing"),
            ("text = 1; text", "constant"),
            ("eval(\"1\")", "eval"),
            ("import \"x\" as y; 1", "import"),
            ("timestamp()", "Function not found: timestamp"),
            ("loop { }", "operations"),
            ("fn f(x) { f(x + 1) } f(0)", "Stack overflow"),
            ("let s = \"ab\"; loop { s += s; }", "Length of string too large"),
            ("let a = []; loop { a.push(1); }", "Size of array"),
            ("let m = #{}; for i in 0..5000 { let n = #{}; n[`k${i}`] = i; m += n; } 1", "Size of object map"),
            (
                "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))",
                "complexity",
            ),
            (long.as_str(), "longer than"),
        ] {
            let why = evaluate(source, &[("text", "x")]).0.expect_err(source);
            assert!(why.contains(says), "{source}: {why}");
        }
    }
}
