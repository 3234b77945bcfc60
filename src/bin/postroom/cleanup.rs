//! `postroom cleanup`: deletes tasks that ended long ago.

use postroom::orchestration::delete_old_tasks;
use serde_json::json;

use crate::args::CleanupArgs;
use crate::exit::{Failure, Status};
use crate::{clock, database, output};

pub(crate) async fn cleanup(args: &CleanupArgs) -> Result<Status, Failure> {
    let store = database::open_existing(&args.database).await?;
    let deleted = delete_old_tasks(&*store, args.older_than, args.dry_run).await;
    store.close().await;
    let tasks = deleted?;
    if args.json {
        output::answer(&json!({ "tasks": tasks, "dry_run": args.dry_run }).to_string())?;
    } else {
        let what = match (args.dry_run, tasks) {
            (false, 1) => "1 task was deleted".to_owned(),
            (false, many) => format!("{many} tasks were deleted"),
            (true, 1) => "1 task would be deleted".to_owned(),
            (true, many) => format!("{many} tasks would be deleted"),
        };
        let age = clock::duration(args.older_than);
        output::answer(&format!("{what}: they ended more than {age} ago."))?;
    }
    Ok(Status::Complete)
}
