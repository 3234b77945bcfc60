//! Steps that have become ready in a transaction and are not written yet: most of them are claimed in it as well, and
//! then written once.

use super::fault::Fault;
use super::runnable::Claimable;
use super::set::Script;
use super::unit::Unit;
use crate::orchestration::store::ParentResult;

/// A pending step whose last dependencies are done.
pub(super) struct Readied<'w> {
    pub(super) task_id: i64,
    pub(super) index: i64,
    pub(super) priority: i64,
    /// How many of its parents are done by this transaction.
    pub(super) done: i64,
    /// Their results, if they are all its parents: otherwise they are to be read.
    pub(super) results: Option<Vec<KnownResult<'w>>>,
    pub(super) step: Claimable,
}

/// What a parent has come to in this transaction.
pub(super) struct KnownResult<'w> {
    pub(super) name: String,
    pub(super) result: Option<&'w str>,
}

impl From<KnownResult<'_>> for ParentResult {
    fn from(known: KnownResult<'_>) -> Self {
        Self {
            name: known.name,
            result_json: known.result.unwrap_or("null").to_owned(),
        }
    }
}

const READY: &str = "
    UPDATE postroom_steps SET unmet = unmet - j.column3, state = 'ready'
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2
        AND postroom_steps.state = 'pending'";

impl Unit<'_> {
    pub(super) async fn readied_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let readied = std::mem::take(&mut self.readied);
        if !readied.is_empty() {
            self.ahead.forget_runnable();
        }
        script
            .set(self.conn, READY, &readied, |binds, step| {
                binds.bind(step.task_id)?.bind(step.index)?.bind(step.done)
            })
            .await
    }
}
