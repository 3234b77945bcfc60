//! `postroom doctor`: whether what is stored is sound, and what waits for people.

use postroom::orchestration::doctor;
use serde::Serialize;

use crate::args::DatabaseArgs;
use crate::exit::{Failure, Status};
use crate::{database, output};

/// The JSON output; the field names stay.
#[derive(Serialize)]
struct Report {
    healthy: bool,
    #[serde(flatten)]
    diagnosis: doctor::Diagnosis,
}

pub(crate) async fn doctor(database: &DatabaseArgs, json: bool) -> Result<Status, Failure> {
    let store = database::open_existing(database).await?;
    let examined = doctor::examine(&*store).await;
    store.close().await;
    let diagnosis = examined?;
    let healthy = diagnosis.is_healthy();
    if json {
        let report = Report { healthy, diagnosis };
        let report = serde_json::to_string(&report).map_err(|error| Failure::trouble(&error))?;
        output::answer(&report)?;
    } else {
        for problem in &diagnosis.problems {
            output::error(problem);
        }
        for remark in &diagnosis.remarks {
            output::note(&format!("note: {}", output::clean(remark)));
        }
        output::answer(&match diagnosis.problems.len() {
            0 => format!(
                "{}: every unfinished task has an owner, and all counters agree.",
                database.url
            ),
            1 => format!("{}: 1 problem.", database.url),
            many => format!("{}: {many} problems.", database.url),
        })?;
    }
    Ok(if healthy {
        Status::Complete
    } else {
        Status::Ended
    })
}
