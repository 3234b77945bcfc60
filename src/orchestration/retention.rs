//! Deleting tasks that ended long ago, in batches that hold up nobody for long.

use std::time::Duration;

use super::store::{CleanupRequest, Store, StoreError};

/// Tasks looked at in one transaction.
const BATCH: u32 = 500;

/// Deletes every task that is in a final state and ended at least `older_than` ago, with its steps and its
/// history, or only counts them (`dry_run`). Returns how many.
///
/// It works in batches of 500 tasks, one transaction each, so that others get their turn in between.
///
/// # Errors
///
/// [`StoreError`]; the batches before the failure stay deleted.
///
/// # Cancel safety
///
/// Dropping the future stops it between two batches, or leaves the outcome of one unknown. Calling it again is
/// safe.
pub async fn delete_old_tasks(
    store: &dyn Store,
    older_than: Duration,
    dry_run: bool,
) -> Result<u64, StoreError> {
    let mut request = CleanupRequest {
        older_than,
        after: None,
        limit: BATCH,
        dry_run,
    };
    let mut deleted = 0;
    loop {
        let report = store.cleanup(request.clone()).await?;
        deleted += report.tasks;
        if report.next.is_none() {
            return Ok(deleted);
        }
        request.after = report.next;
    }
}
