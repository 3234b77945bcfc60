//! `postroom task dead-letters`: steps that failed for good and that nobody has dealt with.

use postroom::orchestration::store::{DeadLetter, DeadLetterFilter, Store};

use crate::exit::{Failure, Status};
use crate::output::{self, Colour, Paint};
use crate::table::Table;
use crate::{clock, output::shorten};

pub(super) async fn list(
    store: &dyn Store,
    namespace: Option<String>,
    limit: u32,
    json: bool,
) -> Result<Status, Failure> {
    let filter = DeadLetterFilter {
        namespace,
        limit: limit + 1,
    };
    let mut letters = store.dead_letters(filter).await?;
    let more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    if json {
        let array = serde_json::to_string(&letters).map_err(|error| Failure::trouble(&error))?;
        output::answer(&array)?;
    } else if letters.is_empty() {
        output::note("There are no dead letters.");
    } else {
        output::answer(&table(&letters))?;
    }
    if more {
        output::note(&format!(
            "There are more than these {limit}; --limit N shows more."
        ));
    }
    Ok(Status::Complete)
}

fn table(letters: &[DeadLetter]) -> String {
    let mut table = Table::new(["TASK", "STEP", "ATTEMPTS", "FAILED", "REASON"]);
    for letter in letters {
        let reason = letter.error.as_deref().unwrap_or("no error was kept");
        table.row([
            (letter.task_uuid.to_string(), None),
            (output::clean(&letter.step), None),
            (format!("{}/{}", letter.attempts, letter.max_attempts), None),
            (
                letter.failed_at.map_or("-".to_owned(), clock::date),
                Some(Colour::Dim),
            ),
            (shorten(reason, 100), Some(Colour::Red)),
        ]);
    }
    table.render(Paint::for_stdout())
}
