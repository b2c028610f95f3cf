//! Account of the verb that runs: filled as things are done, told at its end where programs listen.

use std::sync::{Mutex, PoisonError};

use crate::report::Account;

/// The account; none where people read.
static KEPT: Mutex<Option<Account>> = Mutex::new(None);

/// Begins the account. From now on words for people go to standard error.
pub fn begin() {
    *kept() = Some(Account::default());
}

/// Whether one is kept.
pub fn is_kept() -> bool {
    kept().is_some()
}

/// Adds to it.
pub fn note(change: impl FnOnce(&mut Account)) {
    if let Some(account) = kept().as_mut() {
        change(account);
    }
}

/// Ends it.
pub fn end() -> Option<Account> {
    kept().take()
}

fn kept() -> std::sync::MutexGuard<'static, Option<Account>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
