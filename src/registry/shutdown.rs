//! Ending actors: ask kindly, wait, insist, and in the end go on without.

use super::ActorReport;
use super::running::{Member, Settings};
use crate::actor::{Exit, Level};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an actor has after each step of insisting.
const GRACE: Duration = Duration::from_secs(1);

/// Ends one actor: it may take its time at the first level until `deadline`; then it is stopped, and a
/// little later killed. An actor whose handler never yields is reported and left behind.
async fn end(member: &Member, level: Level, deadline: Instant) -> ActorReport {
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
    actor.raise(Level::Stop);
    if let Ok(exit) = timeout(GRACE, actor.life().ended()).await {
        return done(exit, Level::Stop);
    }
    actor.raise(Level::Kill);
    // `stopped` runs even now, under its own deadline.
    if let Ok(exit) = timeout(member.stop.saturating_add(GRACE), actor.life().ended()).await {
        return done(exit, Level::Kill);
    }
    tracing::error!(
        actor = &**actor.name(),
        "the actor's handler does not yield; going on without it"
    );
    done(Arc::new(actor.give_up()), Level::Kill)
}

/// Ends actors in reverse order of their start, and reports them in the order in which they ended.
pub(super) async fn end_all(
    members: &[Member],
    settings: &Settings,
    level: Level,
) -> Vec<ActorReport> {
    let last = after(settings.total);
    let mut reports = Vec::with_capacity(members.len());
    let mut levels = vec![level; members.len()];
    for (at, member) in members.iter().enumerate().rev() {
        if Instant::now() >= last {
            // No time is left for anyone: the rest stop side by side.
            for (member, level) in members[..=at].iter().zip(&mut levels).rev() {
                if member.actor.life().exit().is_none() {
                    *level = Level::Stop;
                    member.actor.raise(Level::Stop);
                }
            }
        }
        let own = after(member.drain.unwrap_or(settings.drain));
        reports.push(end(member, levels[at], own.min(last)).await);
    }
    reports.sort_by_key(|report| report.exit.sequence);
    reports
}

fn after(limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + FAR)
}
