//! What becomes of the steps that are not done: what they wait for, or which failure keeps them from being
//! reached.

use postroom::orchestration::state::StepState;
use postroom::orchestration::store::StepRecord;

/// Why a step has not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It runs, has run, or can run at any moment.
    Open,
    /// It waits for these parents (positions).
    WaitsFor(Vec<u32>),
    /// It cannot be reached, because this step (position) ended without success.
    NotReached(u32),
}

/// The outlook of every step, by position.
pub(crate) fn of(steps: &[StepRecord]) -> Vec<Outlook> {
    let mut children = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        for &parent in &step.parents {
            if let Some(children) = children.get_mut(parent as usize) {
                children.push(index);
            }
        }
    }
    // From each step that ended badly downwards, in template order: the first one is the one that is named.
    let mut stopped_by: Vec<Option<u32>> = vec![None; steps.len()];
    for step in steps {
        if !matches!(step.state, StepState::Failed | StepState::Cancelled) {
            continue;
        }
        let mut below: Vec<usize> = children[step.index as usize].clone();
        while let Some(index) = below.pop() {
            if steps[index].state == StepState::Pending && stopped_by[index].is_none() {
                stopped_by[index] = Some(step.index);
                below.extend(&children[index]);
            }
        }
    }
    let outlook = |step: &StepRecord| match stopped_by[step.index as usize] {
        _ if step.state != StepState::Pending => Outlook::Open,
        Some(cause) => Outlook::NotReached(cause),
        None => Outlook::WaitsFor(unfinished_parents(step, steps)),
    };
    steps.iter().map(outlook).collect()
}

fn unfinished_parents(step: &StepRecord, steps: &[StepRecord]) -> Vec<u32> {
    let unfinished = |&&parent: &&u32| {
        let parent = steps.get(parent as usize);
        parent.is_some_and(|parent| !parent.state.satisfies_dependents())
    };
    step.parents.iter().filter(unfinished).copied().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn step(index: u32, state: StepState, parents: &[u32]) -> StepRecord {
        StepRecord {
            index,
            name: format!("s{index}"),
            callable: "noop".to_owned(),
            state,
            attempts: 1,
            max_attempts: 3,
            lost_leases: 0,
            epoch: 1,
            unmet_dependencies: 0,
            parents: parents.to_vec(),
            owner: None,
            lease_until: None,
            due_at: None,
            started_at: None,
            ended_at: None,
            result_json: None,
            error: None,
        }
    }

    #[test]
    fn descendants_of_a_failed_step_are_not_reached_and_others_wait() {
        // 0 -> 1(failed) -> 4 -> 5 ; 0 -> 2(running) -> 3 ; 5 also waits for 3. Children stand before parents.
        let steps = [
            step(0, StepState::Complete, &[]),
            step(1, StepState::Failed, &[0]),
            step(2, StepState::Running, &[0]),
            step(3, StepState::Pending, &[0, 2]),
            step(4, StepState::Pending, &[1]),
            step(5, StepState::Pending, &[3, 4]),
        ];
        assert_eq!(
            of(&steps),
            [
                Outlook::Open,
                Outlook::Open,
                Outlook::Open,
                Outlook::WaitsFor(vec![2]),
                Outlook::NotReached(1),
                Outlook::NotReached(1),
            ]
        );
    }
}
