//! A flooded mailbox starves nothing, on either kind of runtime.

use crate::common::{Note, Probe};
use postroom::actor::{Actor, Builder, Context, Handle, Handler, Message, StopReason};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Keeps its own mailbox full: every message sends the next one.
struct Treadmill {
    gone: Arc<AtomicBool>,
}

impl Actor for Treadmill {
    type Error = Infallible;

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        self.gone.store(true, Ordering::Release);
        Ok(())
    }
}

struct Tick;

impl Message for Tick {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Tick> for Treadmill {
    async fn handle(&mut self, _: Tick, ctx: &Context<Self>) -> Result<(), Infallible> {
        if let Some(me) = ctx.handle() {
            let _ = me.try_tell(Tick);
        }
        Ok(())
    }
}

/// The actor never runs out of messages, and still timers fire, others run, and a stop arrives.
async fn flood() {
    let gone = Arc::new(AtomicBool::new(false));
    let treadmill = Builder::new(Treadmill {
        gone: Arc::clone(&gone),
    })
    .capacity(64)
    .spawn()
    .unwrap();
    for _ in 0..32 {
        treadmill.tell(Tick).await.unwrap();
    }
    let other = Probe::default().spawn();
    assert_eq!(other.ask(Note(1)).await.unwrap(), 1, "another actor runs");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(
        treadmill.stats().account.ok > 32,
        "it has been running all the while"
    );
    treadmill.stop();
    let exit = treadmill.closed().await;
    assert!(gone.load(Ordering::Acquire));
    assert!(exit.is_balanced());
}

#[tokio::test]
async fn r18_a_flood_starves_nothing_on_a_current_thread_runtime() {
    flood().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn r18_a_flood_starves_nothing_on_a_multi_thread_runtime() {
    tokio::spawn(flood()).await.unwrap();
}

#[tokio::test]
async fn r18_a_sender_in_a_loop_gives_way() {
    const ROOM: usize = 1 << 18;
    let probe: Handle<Probe> = Builder::new(Probe::default())
        .capacity(ROOM)
        .spawn()
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let sender = {
        let (probe, done) = (probe.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::Acquire) {
                if probe.tell(Note(1)).await.is_err() {
                    return;
                }
            }
        })
    };
    // There is always room, and still this task has its turn long before the mailbox is full.
    tokio::task::yield_now().await;
    done.store(true, Ordering::Release);
    sender.await.unwrap();
    let stats = probe.stats();
    assert!(stats.account.accepted > 0);
    assert!(stats.high_water < ROOM / 16, "{stats:?}");
}
