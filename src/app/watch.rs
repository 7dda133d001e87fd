//! Watches the tasks of the program: none ends in silence.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Whether a task may end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// It runs until the stop: an earlier end is a fault.
    UntilTheStop,
    /// It ends when its work is done.
    AsLongAsNeeded,
}

/// Runs `task`. A panic, an error, or an end that `lasts` does not allow, notifies `failed`: the
/// process must end and start again.
pub(super) async fn watched(
    name: String,
    lasts: Lasts,
    task: impl Future<Output = Result<(), String>>,
    stop: CancellationToken,
    failed: Arc<Notify>,
) {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(Ok(())) if stop.is_cancelled() || lasts == Lasts::AsLongAsNeeded => return,
        Ok(Ok(())) => tracing::error!("{name} ended too early"),
        Ok(Err(error)) => tracing::error!("{name} ended: {error}"),
        Err(_) => tracing::error!("{name} ended in a panic"),
    }
    failed.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_task_ends_in_silence() {
        type Task = fn() -> Result<(), String>;
        let fine: Task = || Ok(());
        let error: Task = || Err("the disk is full".to_owned());
        let panic: Task = || panic!("a mistake");
        let table = [
            (fine, Lasts::UntilTheStop, false, true, "a poller that just ends"),
            (fine, Lasts::AsLongAsNeeded, false, false, "a schema that was read"),
            (fine, Lasts::UntilTheStop, true, false, "the ordinary stop"),
            (error, Lasts::UntilTheStop, false, true, "the store failed"),
            (panic, Lasts::UntilTheStop, false, true, "a panic"),
            (panic, Lasts::AsLongAsNeeded, true, true, "a panic counts always"),
        ];
        for (task, lasts, stopped, fails, why) in table {
            let (stop, failed) = (CancellationToken::new(), Arc::new(Notify::new()));
            if stopped {
                stop.cancel();
            }
            let run = async move { task() };
            watched("a task".to_owned(), lasts, run, stop, Arc::clone(&failed)).await;
            assert_eq!(failed.notified().now_or_never().is_some(), fails, "{why}");
        }
    }
}
