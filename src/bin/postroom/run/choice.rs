//! What `run` does, given what is there.

use postroom::orchestration::IdentityStrategy;
use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::TaskRecord;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Whatever,
    Again,
    Retry,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Choice {
    Submit(IdentityStrategy),
    Resume(TaskRecord),
    Retry(TaskRecord),
    Show(TaskRecord),
}

/// Chooses by the tasks of the same template and input, newest first. An unfinished one is always gone on
/// with: nothing that was started is left lying.
pub(super) fn choose(earlier: Vec<TaskRecord>, wish: Wish) -> Choice {
    let mut earlier = earlier;
    if let Some(unfinished) = earlier.iter().position(|task| !task.state.is_terminal()) {
        return Choice::Resume(earlier.swap_remove(unfinished));
    }
    let newest = earlier.into_iter().next();
    match (newest, wish) {
        (None, _) => Choice::Submit(IdentityStrategy::Strict),
        (Some(_), Wish::Again) => Choice::Submit(IdentityStrategy::Unique),
        (Some(failed), Wish::Retry) if failed.state == TaskState::Failed => Choice::Retry(failed),
        (Some(ended), Wish::Retry | Wish::Whatever) => Choice::Show(ended),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task(number: u128, state: TaskState) -> TaskRecord {
        TaskRecord {
            task_uuid: Uuid::from_u128(number),
            namespace: "default".to_owned(),
            name: "t".to_owned(),
            version: "1.0.0".to_owned(),
            state,
            reason: None,
            run: 1,
            correlation_id: Uuid::nil(),
            steps_total: 1,
            steps_complete: 0,
            steps_failed: 0,
            priority: 0,
            failure_policy: postroom::orchestration::state::FailurePolicy::Continue,
            content: String::new(),
            created_at: 0,
            started_at: None,
            ended_at: None,
        }
    }

    fn chosen(earlier: &[TaskState], wish: Wish) -> String {
        let earlier = (1..)
            .zip(earlier)
            .map(|(number, &state)| task(number, state))
            .collect();
        match choose(earlier, wish) {
            Choice::Submit(IdentityStrategy::Strict) => "submit".to_owned(),
            Choice::Submit(_) => "submit another".to_owned(),
            Choice::Resume(task) => format!("resume {}", task.task_uuid.as_u128()),
            Choice::Retry(task) => format!("retry {}", task.task_uuid.as_u128()),
            Choice::Show(task) => format!("show {}", task.task_uuid.as_u128()),
        }
    }

    #[test]
    fn o10_every_combination() {
        use TaskState::{Cancelled, Complete, Failed, Running, Waiting};
        let cases: [(&[TaskState], [&str; 3]); 7] = [
            (&[], ["submit", "submit", "submit"]),
            (&[Running], ["resume 1", "resume 1", "resume 1"]),
            (&[Complete], ["show 1", "submit another", "show 1"]),
            (&[Failed], ["show 1", "submit another", "retry 1"]),
            (&[Cancelled], ["show 1", "submit another", "show 1"]),
            (&[Complete, Waiting], ["resume 2", "resume 2", "resume 2"]),
            (&[Failed, Complete], ["show 1", "submit another", "retry 1"]),
        ];
        for (earlier, expected) in cases {
            let wishes = [Wish::Whatever, Wish::Again, Wish::Retry];
            assert_eq!(
                wishes.map(|wish| chosen(earlier, wish)),
                expected,
                "{earlier:?}"
            );
        }
    }
}
