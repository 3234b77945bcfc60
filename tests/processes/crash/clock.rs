//! A process whose clock is off.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

pub(super) const HOUR: i64 = 3_600;

/// A library that puts the clock of the process off that it is preloaded into.
pub(super) struct FalseClock {
    _folder: TempDir,
    library: PathBuf,
}

impl FalseClock {
    /// Compiles it, and sees that it does what it should.
    pub(super) fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/crash/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .expect("a C compiler");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let clock = Self {
            _folder: folder,
            library,
        };
        let mut date = Command::new("date");
        clock.put_off(&mut date, HOUR);
        let said = date.arg("+%s").output().expect("date").stdout;
        let said: i64 = String::from_utf8(said).unwrap().trim().parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let off = said - i64::try_from(now.as_secs()).unwrap();
        assert!((HOUR - 60..HOUR + 60).contains(&off), "off by {off} s");
        clock
    }

    pub(super) fn put_off(&self, command: &mut Command, seconds: i64) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POSTROOM_TEST_CLOCK_OFFSET", seconds.to_string());
    }
}
