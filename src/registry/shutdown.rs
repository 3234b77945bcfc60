//! Ending actors: ask kindly, wait, insist, and in the end go on without.

use super::ActorReport;
use super::running::{Member, Settings};
use crate::actor::{Exit, Level};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an actor that has been stopped may take to finish its handler.
const GRACE: Duration = Duration::from_secs(1);

/// Ends actors in reverse order of their start, and reports them in the order in which they ended.
pub(super) async fn end_all(
    members: &[Member],
    settings: &Settings,
    level: Level,
) -> Vec<ActorReport> {
    let last = after(settings.total);
    let mut reports = Vec::with_capacity(members.len());
    // How far each has been pushed when its turn comes.
    let mut levels = vec![level; members.len()];
    let mut rest = members;
    while let Some((member, before)) = rest.split_last() {
        let level = levels[before.len()];
        let deadline = after(member.drain.unwrap_or(settings.drain)).min(last);
        let stop = || {
            let nobody_has_time = Instant::now() >= last;
            let first = if nobody_has_time { 0 } else { before.len() };
            let stopped = rest.iter().zip(&mut levels).skip(first).rev();
            for (member, level) in stopped.filter(|(it, _)| it.actor.life().exit().is_none()) {
                *level = Level::Stop;
                member.actor.raise(Level::Stop);
            }
        };
        reports.push(end(member, level, deadline, stop).await);
        rest = before;
    }
    reports.sort_by_key(|report| report.exit.sequence);
    reports
}

/// Ends one actor: it may take its time at the first level until `deadline`; then it is stopped, and a
/// little later killed. An actor whose handler never yields is reported and left behind.
async fn end(member: &Member, level: Level, deadline: Instant, stop: impl FnOnce()) -> ActorReport {
    let actor = &member.actor;
    let begun = Instant::now();
    actor.raise(level);
    let done = |exit: Arc<Exit>, level| ActorReport {
        exit,
        level,
        took: begun.elapsed(),
    };
    if let Ok(exit) = timeout_at(deadline, actor.life().ended()).await {
        return done(exit, level);
    }
    tracing::warn!(
        actor = &**actor.name(),
        "the actor has not ended in time and is stopped"
    );
    stop();
    // Counted from the deadline: when the total is spent, all that are left share one grace.
    if let Ok(exit) = timeout_at(deadline + GRACE, actor.life().ended()).await {
        return done(exit, Level::Stop);
    }
    actor.raise(Level::Kill);
    // `stopped` runs even now, under its own deadline.
    let hook = member.stop.saturating_add(GRACE);
    if let Ok(exit) = timeout(hook, actor.life().ended()).await {
        return done(exit, Level::Kill);
    }
    tracing::error!(
        actor = &**actor.name(),
        "the actor's handler does not yield; going on without it"
    );
    done(Arc::new(actor.give_up()), Level::Kill)
}

fn after(limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + FAR)
}
