//! Ending actors: ask kindly, wait, insist, and in the end go on without.

use super::ActorReport;
use super::member::Member;
use super::running::Settings;
use crate::actor::{Exit, Level};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long an actor that has been stopped may take to finish its handler.
const GRACE: Duration = Duration::from_secs(1);

/// Ends actors in reverse order of their start, and reports them in the order in which they ended.
///
/// When the total is spent all that are left are stopped, and a little later killed, so that the whole
/// takes no longer than the total, the longest stop deadline, and twice the grace.
pub(super) async fn end_all(
    members: &[Arc<Member>],
    settings: &Settings,
    level: Level,
) -> Vec<ActorReport> {
    let mut ending = Ending::new(members, settings, level);
    let mut reports = Vec::with_capacity(members.len());
    for at in (0..members.len()).rev() {
        reports.push(ending.end(at).await);
    }
    reports.sort_by_key(|report| report.exit.sequence);
    reports
}

/// Drains one actor while all others go on.
pub(super) async fn end_alone(member: &Arc<Member>, settings: &Settings) -> ActorReport {
    let settings = Settings {
        total: member.drain.unwrap_or(settings.drain),
        ..*settings
    };
    let members = std::slice::from_ref(member);
    Ending::new(members, &settings, Level::Drain).end(0).await
}

struct Ending<'a> {
    members: &'a [Arc<Member>],
    drain: Duration,
    /// When the total is spent.
    last: Instant,
    /// How far each has been pushed, or will be when its turn comes.
    levels: Vec<Level>,
    /// How far all that are left have been pushed together, and when.
    everyone: Option<(Level, Instant)>,
}

impl<'a> Ending<'a> {
    fn new(members: &'a [Arc<Member>], settings: &Settings, level: Level) -> Self {
        Self {
            members,
            drain: settings.drain,
            last: after(Instant::now(), settings.total),
            levels: vec![level; members.len()],
            everyone: None,
        }
    }

    /// Ends one actor: it may take its time at the first level until its deadline; then it is stopped,
    /// and a little later killed. An actor whose handler never yields is reported and left behind.
    async fn end(&mut self, at: usize) -> ActorReport {
        let member = &self.members[at];
        let actor = &member.actor;
        let begun = Instant::now();
        actor.raise(self.levels[at]);
        let deadline = after(begun, member.drain.unwrap_or(self.drain)).min(self.last);
        if let Some(exit) = ended(member, deadline).await {
            return self.report(at, exit, begun);
        }
        tracing::warn!(
            actor = &**actor.name(),
            "the actor has not ended in time and is stopped"
        );
        // Counted from the deadline: when the total is spent, all that are left share one grace.
        self.push(at, Level::Stop, self.last);
        let deadline = deadline + GRACE;
        if let Some(exit) = ended(member, deadline).await {
            return self.report(at, exit, begun);
        }
        let killed = self.push(at, Level::Kill, self.last + GRACE);
        // `stopped` runs even now, under its own deadline.
        let deadline = after(killed, member.stop.saturating_add(GRACE));
        if let Some(exit) = ended(member, deadline).await {
            return self.report(at, exit, begun);
        }
        tracing::error!(
            actor = &**actor.name(),
            "the actor's handler does not yield; going on without it"
        );
        self.report(at, actor.give_up(), begun)
    }

    /// Raises the level of one actor or, if the time of all is up, of all that are left. Returns when
    /// that was done.
    fn push(&mut self, at: usize, level: Level, time_of_all: Instant) -> Instant {
        let now = Instant::now();
        if now < time_of_all {
            self.levels[at] = level;
            self.members[at].actor.raise(level);
            return now;
        }
        if let Some((pushed, when)) = self.everyone
            && pushed >= level
        {
            return when;
        }
        self.everyone = Some((level, now));
        for (member, reached) in self.members.iter().zip(&mut self.levels).take(at + 1).rev() {
            if member.is_alive() {
                *reached = level;
                member.actor.raise(level);
            }
        }
        now
    }

    fn report(&self, at: usize, exit: Arc<Exit>, begun: Instant) -> ActorReport {
        ActorReport {
            exit,
            level: self.levels[at],
            took: begun.elapsed(),
        }
    }
}

async fn ended(member: &Member, deadline: Instant) -> Option<Arc<Exit>> {
    let life = member.actor.life();
    // Most have nothing left to do, and need no timer.
    if let Some(exit) = life.exit() {
        return Some(Arc::clone(exit));
    }
    timeout_at(deadline, life.ended()).await.ok()
}

fn after(from: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    from.checked_add(limit).unwrap_or_else(|| from + FAR)
}
