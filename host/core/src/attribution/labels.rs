//! Whether the answers of a task are labels, seen one case after the other.

use crate::case::Case;
use crate::review::LABEL_TIMES;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

/// Most task types that are told apart; the answers of any further one are taken for no labels.
const TASKS_MAX: usize = 1_000;
/// Most labels of a task: of more different answers none is one.
const LABELS_MAX: usize = 65_536;

/// Counts of answers, from which follows for which tasks they are labels: each of them is the answer of several cases.
/// It grows with tasks and labels, within bounds, and not with cases.
#[derive(Debug, Default)]
pub struct Labels {
    /// Times of each answer, by its hash; None where the answers of the task are no labels.
    tasks: BTreeMap<String, Option<HashMap<u64, u32>>>,
}

impl Labels {
    /// Of all these cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        let mut labels = Labels::default();
        cases.into_iter().for_each(|case| labels.add(case));
        labels
    }

    /// One case more.
    pub fn add(&mut self, case: &Case) {
        if !self.tasks.contains_key(&case.task_type) {
            if self.tasks.len() >= TASKS_MAX {
                return;
            }
            self.tasks.insert(case.task_type.clone(), Some(HashMap::new()));
        }
        let Some(times) = self.tasks.get_mut(&case.task_type) else { return };
        let Some((answers, answer)) = times.as_mut().zip(case.expected_answer()) else {
            *times = None;
            return;
        };
        let mut hasher = DefaultHasher::new();
        answer.hash(&mut hasher);
        *answers.entry(hasher.finish()).or_default() += 1;
        if answers.len() > LABELS_MAX {
            *times = None;
        }
    }

    /// Tasks whose answers are labels.
    pub fn tasks(&self) -> BTreeSet<String> {
        let are_labels = |times: &HashMap<u64, u32>| times.values().all(|times| *times as usize >= LABEL_TIMES);
        let tasks = self.tasks.iter().filter(|(_, times)| times.as_ref().is_some_and(are_labels));
        tasks.map(|(task, _)| task.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(task: &str, answer: Option<&str>) -> Case {
        let expected = answer.map(|answer| json!({"answer": answer})).unwrap_or(json!({}));
        Case {
            case_id: String::new(),
            task_type: task.into(),
            context: Vec::new(),
            expected: expected.as_object().cloned().unwrap_or_default(),
            metadata: Default::default(),
        }
    }

    #[test]
    fn answers_are_labels_where_each_of_them_comes_several_times() {
        let labels: Vec<Case> = ["yes", "no"].repeat(3).into_iter().map(|answer| case("judge", Some(answer))).collect();
        assert_eq!(Labels::of(&labels).tasks(), BTreeSet::from(["judge".to_string()]));
        for more in [case("judge", Some("perhaps")), case("judge", None)] {
            assert!(Labels::of(labels.iter().chain([&more])).tasks().is_empty());
        }
    }

    #[test]
    fn of_many_tasks_and_answers_no_more_is_kept_than_the_bounds_say() {
        let mut labels = Labels::default();
        (0..TASKS_MAX + 5).for_each(|n| labels.add(&case(&format!("t{n}"), Some("a"))));
        assert_eq!(labels.tasks.len(), TASKS_MAX);
        let mut labels = Labels::default();
        (0..=LABELS_MAX).for_each(|n| labels.add(&case("t", Some(&n.to_string()))));
        assert_eq!(labels.tasks["t"], None);
    }
}
