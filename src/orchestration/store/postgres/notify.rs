//! Telling other processes that there may be work, and being told.
//!
//! A notification is a hint. It is sent after the commit, apart from it: inside, it would make commits wait
//! for each other. While one is being sent at most one more waits, however many commits there were.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::connect::Place;
use crate::actor::{Actor, Builder, Context, Exit, Handle, Handler, Message};
use crate::orchestration::store::StoreError;

/// The channel of all notifications.
const CHANNEL: &str = "postroom";

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
pub(super) struct Listener {
    woken: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(place: &Arc<Place>) -> Self {
        let woken = Arc::new(Notify::new());
        let task = (!place.options.poll_only).then(|| {
            let (place, woken) = (Arc::clone(place), Arc::clone(&woken));
            tokio::spawn(async move { listen(&place, &woken).await })
        });
        Self { woken, task }
    }

    /// Resolves when another process, or this one, has said that there may be work.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(super) fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(place: &Place, woken: &Notify) {
    /// Between two attempts to get a connection.
    const AGAIN: Duration = Duration::from_millis(500);
    let pool = place.listening();
    loop {
        if let Err(error) = follow(&pool, woken).await {
            tracing::debug!(database = place.name(), %error, "not listening for now; the poll goes on");
        }
        // What was said in the meantime was missed.
        woken.notify_one();
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow(pool: &sqlx::PgPool, woken: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // `None`: the connection was lost, and will be made anew by the next call.
    loop {
        listener.try_recv().await?;
        woken.notify_one();
    }
}
