//! What a process does with its leases at every heartbeat.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::orchestration::context::SystemContext;
use crate::orchestration::store::Lease;

/// Renews this process's leases, interrupts steps whose lease is no longer ours or whose task fails fast, and
/// gives back leases that nobody here works on (their claim's answer was lost on its way), which would be
/// renewed for ever.
#[derive(Debug)]
pub(crate) struct Heart {
    renewed: Instant,
    idle_before: BTreeSet<Lease>,
}

impl Heart {
    pub(crate) fn new() -> Self {
        Self {
            renewed: Instant::now(),
            idle_before: BTreeSet::new(),
        }
    }

    pub(crate) async fn beat(&mut self, context: &SystemContext) {
        let asked = Instant::now();
        // What is claimed after this line cannot be judged by the answer.
        let believed = context.running().leases();
        let lease = context.config().lease;
        let answer = context.store().heartbeat(context.process(), lease).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // The breaker has told of an outage.
                if error.retry_after().is_none() {
                    tracing::warn!(%error, "renewing leases failed; it is tried again");
                }
                if self.renewed.elapsed() > lease {
                    // Others may run these steps by now.
                    context.running().interrupt(&believed);
                }
                return;
            }
        };
        self.renewed = asked;
        context.heard(asked);
        if !answer.registered {
            register_again(context).await;
        }
        let held: BTreeSet<Lease> = answer.held.into_iter().collect();
        let mut stop = answer.stop;
        stop.extend(believed.into_iter().filter(|lease| !held.contains(lease)));
        context.running().interrupt(&stop);
        self.give_back_stray(context, &held).await;
    }

    async fn give_back_stray(&mut self, context: &SystemContext, held: &BTreeSet<Lease>) {
        let running: BTreeSet<Lease> = context.running().leases().into_iter().collect();
        let idle: BTreeSet<Lease> = held.difference(&running).copied().collect();
        // A claim on its way to the worker looks the same, but not for a whole heartbeat.
        let stray: Vec<Lease> = idle.intersection(&self.idle_before).copied().collect();
        if !stray.is_empty() {
            tracing::warn!(
                steps = stray.len(),
                "giving back leases that nobody works on"
            );
            let released = context.store().release(context.process(), stray).await;
            if let Err(error) = released {
                tracing::warn!(%error, "leases could not be given back; it is tried again");
            }
        }
        self.idle_before = idle;
    }
}

/// This process was silent for so long that the others have forgotten it.
async fn register_again(context: &SystemContext) {
    let registration = context.registration(context.claim_mode());
    if let Err(error) = context.store().register_process(registration).await {
        tracing::warn!(%error, "registering again failed; the next heartbeat tries it again");
    }
}
