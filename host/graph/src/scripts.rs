//! Scripts in a graph: code that a variant brings along as text.

use crate::GraphSpec;
use serde_json::Value;

/// The kind of a node component that runs a script.
pub const SCRIPT_KIND: &str = "script";

/// The script of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeScript<'a> {
    /// Its module, which is the name of its file; empty where the node does not say.
    pub name: &'a str,
    /// Its text.
    pub source: &'a str,
}

impl GraphSpec {
    /// The scripts of all nodes in their order: whatever stands as `source` in the settings that a node hands on to a
    /// component, so that none can be brought in under another kind's name.
    pub fn scripts(&self) -> Vec<NodeScript<'_>> {
        let settings = self.nodes.iter().filter_map(|node| node.settings.get("settings"));
        let script = |settings| {
            let text = |name| Value::get(settings, name).and_then(Value::as_str);
            Some(NodeScript { name: text("script").unwrap_or_default(), source: text("source")? })
        };
        settings.filter_map(script).collect()
    }

    /// Gives every script node the text of its script, which `text_of` finds by its name.
    ///
    /// # Errors
    /// The first of the nodes whose script has no name, no text, or a text in the graph already.
    pub fn put_scripts<E>(
        &mut self,
        mut text_of: impl FnMut(&str, &str) -> Result<String, E>,
        misplaced: impl Fn(&str) -> E,
    ) -> Result<(), E> {
        for node in &mut self.nodes {
            let runs_script = node.settings.get("kind").and_then(Value::as_str) == Some(SCRIPT_KIND);
            let Some(Value::Object(settings)) = node.settings.get_mut("settings").filter(|_| runs_script) else {
                continue;
            };
            if settings.contains_key("source") {
                return Err(misplaced(&node.name));
            }
            if let Some(name) = settings.get("script").and_then(Value::as_str) {
                let source = text_of(&node.name, name)?;
                settings.insert("source".into(), source.into());
            }
        }
        Ok(())
    }

    /// The graph as its file has it: scripts by name only.
    pub fn without_scripts(&self) -> GraphSpec {
        let mut graph = self.clone();
        for node in &mut graph.nodes {
            if let Some(Value::Object(settings)) = node.settings.get_mut("settings")
                && settings.contains_key("script")
            {
                settings.remove("source");
            }
        }
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(settings: Value) -> GraphSpec {
        let node = json!({"name": "tidy", "kind": "component", "settings": {"kind": "script", "settings": settings}});
        serde_json::from_value(json!({"nodes": [node], "edges": [], "output": "tidy"})).expect("a graph")
    }

    #[test]
    fn a_script_is_put_in_by_name_and_taken_out_again() {
        let file = graph(json!({"script": "tidy"}));
        let mut whole = file.clone();
        whole.put_scripts(|node, name| Ok(format!("{node} {name}")), |_| ()).expect("put in");
        assert_eq!(whole.scripts(), [NodeScript { name: "tidy", source: "tidy tidy" }]);
        assert_eq!(whole.without_scripts(), file);
        assert!(file.scripts().is_empty());
        let mut smuggled = graph(json!({"script": "tidy", "source": "1"}));
        assert_eq!(smuggled.put_scripts(|_, _| Ok(String::new()), |node| node.to_string()), Err("tidy".to_string()));
        let mut missing = file;
        assert_eq!(missing.put_scripts(|_, name| Err(name.to_string()), |_| String::new()), Err("tidy".to_string()));
    }

    #[test]
    fn a_script_under_another_name_is_found_all_the_same() {
        let node = json!({"name": "a", "kind": "other", "settings": {"kind": "x", "settings": {"source": "1"}}});
        let graph: GraphSpec =
            serde_json::from_value(json!({"nodes": [node], "edges": [], "output": "a"})).expect("a graph");
        assert_eq!(graph.scripts(), [NodeScript { name: "", source: "1" }]);
    }
}
