//! Whether the declared sends fit the order of starting.
//!
//! Actors start in the order of registration and are drained in reverse. An actor that sends to one
//! which starts after it would find it gone while it drains, and actors in a circle would wait for
//! each other.

use super::BuildError;
use crate::actor::ActorName;

/// `sends[i]` are the indices that actor `i` sends to.
pub(super) fn check(names: &[ActorName], sends: &[Vec<usize>]) -> Result<(), BuildError> {
    if let Some(circle) = circle(sends) {
        let path = circle.into_iter().map(|at| names[at].clone()).collect();
        return Err(BuildError::Cycle { path });
    }
    for (actor, targets) in sends.iter().enumerate() {
        if let Some(&later) = targets.iter().find(|target| **target > actor) {
            let (actor, dependency) = (names[actor].clone(), names[later].clone());
            return Err(BuildError::StartsTooEarly { actor, dependency });
        }
    }
    Ok(())
}

/// The first circle found, with its first member repeated at the end.
fn circle(sends: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut done = vec![false; sends.len()];
    let mut on_path = vec![false; sends.len()];
    for start in 0..sends.len() {
        if done[start] {
            continue;
        }
        // Each element of the path is an actor and how many of its targets have been followed.
        let mut path = vec![(start, 0)];
        on_path[start] = true;
        while let Some((actor, followed)) = path.last_mut() {
            let actor = *actor;
            let Some(&target) = sends[actor].get(*followed) else {
                done[actor] = true;
                on_path[actor] = false;
                path.pop();
                continue;
            };
            *followed += 1;
            if on_path[target] {
                let members = path.iter().map(|(member, _)| *member);
                let circle = members.skip_while(|member| *member != target);
                return Some(circle.chain([target]).collect());
            }
            if !done[target] {
                on_path[target] = true;
                path.push((target, 0));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<ActorName> {
        (0..n).map(|i| format!("a{i}").into()).collect()
    }

    #[test]
    fn r15_sends_to_earlier_actors_are_in_order() {
        assert_eq!(check(&names(3), &[vec![], vec![0], vec![0, 1]]), Ok(()));
    }

    #[test]
    fn r15_a_send_to_a_later_actor_is_refused() {
        let error = check(&names(2), &[vec![1], vec![]]).unwrap_err();
        assert!(
            matches!(&error, BuildError::StartsTooEarly { actor, dependency }
            if &**actor == "a0" && &**dependency == "a1")
        );
    }

    #[test]
    fn r15_a_circle_of_sends_is_named() {
        let error = check(&names(4), &[vec![], vec![3], vec![0, 1], vec![2]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the declared sends go in a circle: `a1` -> `a3` -> `a2` -> `a1`"
        );
    }
}
