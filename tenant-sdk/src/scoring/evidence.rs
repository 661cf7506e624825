//! Evidence that a case needs, and what its searches brought of it.

use crate::scorer::ObservedSearch;
use serde_json::Value;

/// Titles of the row's `supporting_facts` (pairs of title and sentence), each once, in their order.
pub fn gold_titles(expected: &Value) -> Vec<&str> {
    let facts = expected.get("supporting_facts").and_then(Value::as_array).into_iter().flatten();
    let mut titles: Vec<&str> = Vec::new();
    for title in facts.filter_map(|fact| fact.get(0).and_then(Value::as_str)) {
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    titles
}

/// For each search which of the titles it brought and which are still missing after it, as the host saw the searches and
/// not as the chain tells: a text that goes on behind a verdict. Empty where nothing was searched.
pub fn evidence_feedback(titles: &[&str], searches: &[ObservedSearch]) -> String {
    let mut text = String::new();
    let mut found_so_far: Vec<&str> = Vec::new();
    for search in searches {
        let hit = |title: &&str| search.hits.iter().any(|(_, found)| found == title);
        found_so_far.extend(titles.iter().copied().filter(hit));
        let missing: Vec<&str> = titles.iter().copied().filter(|title| !found_so_far.contains(title)).collect();
        let found: Vec<&str> = titles.iter().copied().filter(hit).collect();
        text.push_str(&format!("; {} found {}", search.id.node, listed(&found)));
        text.push_str(&format!(", still missing {}", listed(&missing)));
    }
    text
}

fn listed(titles: &[&str]) -> String {
    if titles.is_empty() { "none".into() } else { titles.join(" and ") }
}
