//! Telling other processes that there may be work, and being told.
//!
//! A notification is a hint. It is sent after the commit, apart from it: inside, it would make commits wait
//! for each other. While one is being sent at most one more waits, however many commits there were.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connect::Place;
use crate::actor::{Actor, Builder, Context, Exit, Handle, Handler, Message};
use crate::orchestration::store::{Hints, StoreError};

/// The channel of all notifications.
pub(super) const CHANNEL: &str = "postroom";

/// Without another process nobody is to be told.
const NOTIFY: &str =
    "SELECT pg_notify('postroom', '') WHERE (SELECT count(*) FROM postroom.processes) > 1";

/// Sends notifications.
#[derive(Clone)]
pub(super) struct Notifier(Option<Handle<NotifierActor>>);

impl Notifier {
    pub(super) fn start(place: &Arc<Place>) -> Result<Self, StoreError> {
        if place.options.poll_only {
            return Ok(Self(None));
        }
        let actor = NotifierActor(Arc::clone(place));
        let handle = Builder::new(actor)
            .name("PostgresNotifier")
            .capacity(1)
            .spawn()
            .map_err(|error| place.cannot_open(error))?;
        Ok(Self(Some(handle)))
    }

    /// Has the others told, soon. Never waits.
    pub(super) fn notify(&self) {
        if let Some(handle) = &self.0 {
            // A full mailbox has one waiting already; a closed one is shutting down, and the others poll.
            let _ = handle.try_tell(Nudge);
        }
    }

    pub(super) async fn close(&self) -> Option<Arc<Exit>> {
        let handle = self.0.as_ref()?;
        handle.drain();
        Some(handle.closed().await)
    }
}

struct Nudge;

impl Message for Nudge {
    type Response = ();
    type Error = Infallible;
}

pub(super) struct NotifierActor(Arc<Place>);

impl Actor for NotifierActor {
    type Error = Infallible;
}

impl Handler<Nudge> for NotifierActor {
    async fn handle(&mut self, _: Nudge, _: &Context<Self>) -> Result<(), Infallible> {
        if let Err(error) = sqlx::query(NOTIFY).execute(&self.0.pool).await {
            tracing::debug!(database = self.0.name(), %error, "others were not told; they poll");
        }
        Ok(())
    }
}

/// Listens on a connection of its own, which it makes anew when it was lost.
pub(super) struct Listener(Option<Listening>);

struct Listening {
    said: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(place: &Arc<Place>) -> Self {
        Self((!place.options.poll_only).then(|| {
            let (say, said) = watch::channel(());
            let place = Arc::clone(place);
            let task = tokio::spawn(async move { listen(&place, &say).await });
            Listening { said, task }
        }))
    }

    /// What other processes, or this one, say from now on.
    pub(super) fn hints(&self) -> Option<Hints> {
        let mut said = self.0.as_ref()?.said.clone();
        said.mark_unchanged();
        Some(Hints::from(said))
    }

    pub(super) fn stop(&self) {
        if let Some(listening) = &self.0 {
            listening.task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(place: &Place, say: &watch::Sender<()>) {
    /// Between two attempts to get a connection.
    const AGAIN: Duration = Duration::from_millis(500);
    let pool = place.listening();
    loop {
        if let Err(error) = follow(&pool, say).await {
            tracing::debug!(database = place.name(), %error, "not listening for now; the poll goes on");
        }
        // What was said in the meantime was missed.
        say.send_replace(());
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow(pool: &sqlx::PgPool, say: &watch::Sender<()>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // `None`: the connection was lost, and will be made anew by the next call.
    loop {
        listener.try_recv().await?;
        say.send_replace(());
    }
}
