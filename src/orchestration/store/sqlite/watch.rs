//! Noticing that another process has written: its commits change the file of the write-ahead log.
//!
//! Looking at the file's size and time is no query, and costs next to nothing. What this process writes itself is
//! left out where it can be told apart; a hint too many is harmless.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::orchestration::store::Hints;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// Watches the database at `path` for as long as somebody listens. `own` counts
/// the beginnings and the ends of this process's transactions: it is odd while one is under way.
pub(super) fn start(path: &Path, own: Arc<AtomicU64>) -> Hints {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let (say, said) = watch::channel(());
    tokio::spawn(async move {
        let mut seen = Seen::at(&log, &own);
        loop {
            tokio::select! {
                () = say.closed() => return,
                () = sleep(EVERY) => {}
            }
            let now = Seen::at(&log, &own);
            if now.log != seen.log && now.own == seen.own && now.own.is_multiple_of(2) {
                say.send_replace(());
            }
            seen = now;
        }
    });
    Hints::from(said)
}

struct Seen {
    /// Size and time; `None` if there is no log, or it cannot be looked at.
    log: Option<(u64, Option<SystemTime>)>,
    own: u64,
}

impl Seen {
    fn at(log: &Path, own: &AtomicU64) -> Self {
        let looked = std::fs::metadata(log).ok();
        Self {
            log: looked.map(|found| (found.len(), found.modified().ok())),
            own: own.load(Ordering::Relaxed),
        }
    }
}
