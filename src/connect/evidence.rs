//! Request ids of writes, kept for the audit trail whatever became of the write.
//!
//! An answer that is an error of a kind without room for an id, and no answer at all, leave an id
//! too: the one that was sent. It is what the vendor's support asks for.

use std::cell::RefCell;

tokio::task_local! {
    static IDS: RefCell<Vec<String>>;
}

/// Runs `work` and gathers the ids of the writes in it, until somebody takes them.
pub async fn gathering<T>(work: impl Future<Output = T>) -> T {
    IDS.scope(RefCell::default(), work).await
}

/// Keeps an id of a write; without a gathering nobody wants it.
pub fn note(id: String) {
    let _ = IDS.try_with(|ids| ids.borrow_mut().push(id));
}

/// The ids since the last time, oldest first.
#[must_use]
pub fn take() -> Vec<String> {
    IDS.try_with(|ids| std::mem::take(&mut *ids.borrow_mut())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{gathering, note, take};

    #[tokio::test]
    async fn what_was_gathered_is_taken_once() {
        note("outside".to_owned());
        let taken = gathering(async {
            note("first".to_owned());
            note("second".to_owned());
            (take(), take())
        });
        assert_eq!(taken.await, (vec!["first".to_owned(), "second".to_owned()], Vec::new()));
        assert!(take().is_empty(), "nothing is gathered outside");
    }
}
