//! Telling processes apart, also across restarts and reused process ids.

use std::fs;
use std::io::ErrorKind;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use uuid::Uuid;

use crate::orchestration::store::ProcessRegistration;

/// Who a process is to the others that share its store.
///
/// On Linux the host is named by host name, boot and process namespace, and a process by its id and the start
/// time that the kernel gives it; so a reused process id, or the same id in another container, is not taken
/// for the same process. On other systems host and start time are left empty, nobody can tell whether the
/// process lives, and its steps are taken over when their leases run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Chosen anew for every start; time-ordered.
    pub process: Uuid,
    /// Equal only where process ids can be compared; empty if unknown.
    pub host: String,
    /// The operating system's process id.
    pub pid: u32,
    /// Tells two processes with the same id apart; empty if unknown.
    pub pid_birth: String,
}

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It was there a moment ago.
    Alive,
    /// It is gone for good.
    Dead,
    /// It cannot be told from here: another host, or not enough is known.
    Unknown,
}

impl ProcessIdentity {
    /// This process, under a new `process` id. Reads a few files of `/proc` on Linux, nothing elsewhere.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            process: Uuid::now_v7(),
            host: host().unwrap_or_default(),
            pid,
            pid_birth: birth_of(pid).unwrap_or_default(),
        }
    }

    /// Whether another process lives, as far as this one can tell.
    pub fn liveness_of(&self, other: &ProcessRegistration) -> Liveness {
        if self.host.is_empty() || self.host != other.host || other.pid_birth.is_empty() {
            return Liveness::Unknown;
        }
        match fs::read_to_string(format!("/proc/{}/stat", other.pid)) {
            Ok(stat) => match Stat::parse(&stat) {
                Some(stat) if stat.dead || stat.start_time != other.pid_birth => Liveness::Dead,
                Some(_) => Liveness::Alive,
                None => Liveness::Unknown,
            },
            Err(error) if error.kind() == ErrorKind::NotFound || is_gone(&error) => {
                without_proc(other.pid)
            }
            Err(_) => Liveness::Unknown,
        }
    }
}

/// Some mounts of `/proc` hide the processes of other users; a signal tells those from dead ones.
fn without_proc(pid: u32) -> Liveness {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Liveness::Unknown;
    };
    match test_kill_process(pid) {
        Err(Errno::SRCH) => Liveness::Dead,
        Ok(()) | Err(_) => Liveness::Unknown,
    }
}

/// The process ended between opening and reading its file.
fn is_gone(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn host() -> Option<String> {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let name = read("/proc/sys/kernel/hostname")?;
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{name} {boot} {}", namespace.display()))
}

fn birth_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Stat::parse(&stat)?.start_time.to_owned())
}

/// The parts of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    /// A zombie or on its way out: it runs no code any more.
    dead: bool,
    /// In clock ticks since boot.
    start_time: &'a str,
}

impl<'a> Stat<'a> {
    fn parse(stat: &'a str) -> Option<Self> {
        // The second field, the program's name, may hold spaces and parentheses; the rest may not.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            dead: matches!(state, "Z" | "X" | "x"),
            // Field 22 of all; the state is field 3.
            start_time: fields.nth(18)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(identity: &ProcessIdentity) -> ProcessRegistration {
        ProcessRegistration {
            process: identity.process,
            host: identity.host.clone(),
            pid: identity.pid,
            pid_birth: identity.pid_birth.clone(),
            callables: Vec::new(),
            serves: Vec::new(),
            only_task: None,
        }
    }

    #[test]
    fn a_stat_line_is_read_past_a_strange_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 2 3 4";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.dead, stat.start_time), (false, "98765"));
        assert!(
            Stat::parse("42 (x) Z 1 42 42 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 98765")
                .unwrap()
                .dead
        );
        assert_eq!(Stat::parse("42 (x"), None);
        assert_eq!(Stat::parse("42 (x) S 1 2"), None);
    }

    #[test]
    fn other_hosts_and_unknown_births_cannot_be_judged() {
        let identity = ProcessIdentity::current();
        let mut elsewhere = registration(&identity);
        elsewhere.host = "another".to_owned();
        assert_eq!(identity.liveness_of(&elsewhere), Liveness::Unknown);
        let mut unborn = registration(&identity);
        unborn.pid_birth.clear();
        assert_eq!(identity.liveness_of(&unborn), Liveness::Unknown);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn o03_death_is_seen_in_spite_of_zombies_and_reused_ids() {
        let identity = ProcessIdentity::current();
        let mut other = registration(&identity);
        assert_eq!(identity.liveness_of(&other), Liveness::Alive);
        other.pid_birth = "1".to_owned();
        assert_eq!(
            identity.liveness_of(&other),
            Liveness::Dead,
            "the id was reused"
        );

        let mut command = std::process::Command::new("sh");
        command
            .arg("-c")
            .arg("read line")
            .stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        other.pid = child.id();
        other.pid_birth = birth_of(child.id()).unwrap();
        assert_eq!(identity.liveness_of(&other), Liveness::Alive);
        drop(child.stdin.take());
        // Not waited for yet, so it stays a zombie from some moment on.
        let zombie = || identity.liveness_of(&other) == Liveness::Dead;
        while !zombie() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(identity.liveness_of(&other), Liveness::Dead);
    }
}
