//! What several runs may cost together: a file that all of them count in, also from several processes.

use fapo_core::InputError;
use fapo_core::grants::Budget;
use fapo_core::price::Money;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A shared bound with what has been spent of it. What a killed process had taken out stays counted: it may have
/// reached its service.
#[derive(Debug)]
pub struct Account {
    /// Whose account it is, for messages: `this trial`, `tenant demo_qa`.
    pub of: String,
    /// What raises the bound, for hints.
    pub raise: String,
    budget: Budget,
    path: PathBuf,
}

/// Calls, tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    /// Paid calls.
    pub calls: u64,
    /// Their tokens, prompt and reply.
    pub tokens: u64,
    /// What they cost, dollars.
    pub cost: Money,
}

impl Amount {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        Amount {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            cost: self.cost.plus(other.cost),
        }
    }

    /// The difference, nothing where `other` is more.
    #[must_use]
    pub fn minus(self, other: Amount) -> Amount {
        Amount {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: self.cost.minus(other.cost),
        }
    }

    /// What of a budget would be passed by this, and by how much it is bounded.
    pub fn passes(&self, budget: &Budget) -> Option<Passed> {
        let passed = |what, option, most: Option<String>| most.map(|most| Passed { what, option, most });
        let calls = budget.calls_max.filter(|most| self.calls > *most).map(|most| most.to_string());
        let tokens = budget.tokens_max.filter(|most| self.tokens > *most).map(|most| most.to_string());
        let cost = budget.cost_max.filter(|most| self.cost > *most).map(|most| most.to_string());
        passed("calls", "calls_max", calls)
            .or_else(|| passed("tokens", "tokens_max", tokens))
            .or_else(|| passed("of cost", "cost_max", cost))
    }
}

/// A bound that would be passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// `calls`, `tokens`, `of cost`.
    pub what: &'static str,
    /// Its name in a budget.
    pub option: &'static str,
    /// The bound, as people read it.
    pub most: String,
}

impl Account {
    /// The account in the file `path`, made where missing.
    ///
    /// # Errors
    /// It cannot be made, or holds something else.
    pub fn open(path: &Path, of: &str, raise: &str, budget: Budget) -> Result<Account, InputError> {
        let account = Account { of: of.into(), raise: raise.into(), budget, path: path.into() };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| account.failed(&error))?;
        }
        account.change(|amount| *amount).map(|_| account)
    }

    /// What has been spent.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spent(&self) -> Result<Amount, InputError> {
        self.change(|amount| *amount)
    }

    /// Takes `amount` out, or says what it would pass.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn take(&self, amount: Amount) -> Result<Option<Passed>, InputError> {
        self.change(|spent| {
            let after = spent.plus(amount);
            let passed = after.passes(&self.budget);
            if passed.is_none() {
                *spent = after;
            }
            passed
        })
    }

    /// Puts `real` in the place of what was `taken`.
    pub(crate) fn settle(&self, taken: Amount, real: Amount) {
        // Where the file is gone the taken amount stays counted, or there is nothing to count in.
        let _ = self.change(|spent| *spent = spent.minus(taken).plus(real));
    }

    /// Changes the amount while nobody else does.
    fn change<T>(&self, change: impl FnOnce(&mut Amount) -> T) -> Result<T, InputError> {
        let mut file = self.file().map_err(|error| self.failed(&error))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| self.failed(&error))?;
        let before: Amount = match text.trim() {
            "" => Amount::default(),
            text => serde_json::from_str(text).map_err(|error| self.damaged(&error))?,
        };
        let mut after = before;
        let answer = change(&mut after);
        if after != before {
            // One write of one length: a killed process leaves the old line or the new one.
            let json = serde_json::to_string(&after).unwrap_or_default();
            let line = format!("{json:<127}\n");
            file.rewind().and_then(|()| file.write_all(line.as_bytes())).map_err(|error| self.failed(&error))?;
        }
        Ok(answer)
    }

    /// The file, locked until it is dropped.
    fn file(&self) -> std::io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        file.lock()?;
        Ok(file)
    }

    fn failed(&self, error: &std::io::Error) -> InputError {
        InputError::new(self.path.display().to_string(), error.to_string())
            .hint("make room or mend the permissions, then run the same command")
    }

    fn damaged(&self, error: &serde_json::Error) -> InputError {
        InputError::new(self.path.display().to_string(), format!("is no account: {error}"))
            .hint("write what was spent into it, as {\"calls\": 0, \"tokens\": 0, \"cost\": 0.0}, or remove it to begin at nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn calls(calls: u64) -> Amount {
        Amount { calls, ..Amount::default() }
    }

    fn account(path: &Path, calls_max: u64) -> Account {
        let budget = Budget { calls_max: Some(calls_max), ..Budget::default() };
        Account::open(path, "tenant t", "total", budget).expect("an account")
    }

    #[test]
    fn two_hosts_together_never_pass_the_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spent/t.json");
        let hosts = [Arc::new(account(&path, 100)), Arc::new(account(&path, 100))];
        let taken: usize = std::thread::scope(|scope| {
            let work =
                |host: Arc<Account>| move || (0..80).filter(|_| host.take(calls(1)).expect("a file").is_none()).count();
            let threads: Vec<_> = hosts.iter().map(|host| scope.spawn(work(Arc::clone(host)))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(taken, 100);
        let passed = hosts[0].take(calls(1)).expect("a file").expect("used up");
        assert_eq!((passed.what, passed.most.as_str()), ("calls", "100"));
        hosts[1].settle(calls(1), calls(0));
        assert_eq!(hosts[0].take(calls(1)).expect("a file"), None, "what cost nothing is given back");
        assert_eq!(account(&path, 5).spent().expect("a file"), calls(100), "another start goes on");
    }

    #[test]
    fn a_damaged_account_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.json");
        std::fs::write(&path, "{\"calls\": ").expect("written");
        let error = Account::open(&path, "tenant t", "total", Budget::default()).expect_err("damaged");
        assert!(error.subject.ends_with("t.json") && error.hint.is_some(), "{error}");
    }
}
