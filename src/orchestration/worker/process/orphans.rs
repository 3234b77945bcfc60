//! Ending the child processes of a process that died.
//!
//! A killed process cannot end its children. They carry a marker in their environment, which their own
//! children inherit; on Linux `/proc` shows it. On other systems nothing is found, and a step whose process
//! died may run beside what is left of its earlier attempt.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, kill_process, kill_process_group};
use uuid::Uuid;

/// The environment variable by which child processes are known; its value is [`ProcessIdentity::process`].
///
/// [`ProcessIdentity::process`]: super::ProcessIdentity
pub(crate) const MARKER: &str = "POSTROOM_PROCESS";

/// New children may appear while the old ones are being ended; ended ones need a moment to be gone.
const ROUNDS: u32 = 100;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(5);

/// Ends (`SIGKILL`) every process that was started by shell steps of `process`, with their process groups, and
/// returns how many it found. The calling process and its own group are spared.
///
/// Call it only for a process that is known to be dead. Processes that cleared their environment and left
/// their process group are not found, nor are those of other users; on systems other than Linux none is.
///
/// # Blocking
///
/// Reads `/proc` until nothing is left, which takes milliseconds; half a second if something cannot be ended.
/// From async code call it on a thread that may block.
pub fn end_orphans(process: Uuid) -> usize {
    let marker = format!("{MARKER}={process}");
    let mut ended = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found = marked(marker.as_bytes());
        if found.is_empty() {
            break;
        }
        for pid in found {
            end(pid);
            ended.insert(pid.as_raw_pid());
        }
        std::thread::sleep(BETWEEN_ROUNDS);
    }
    ended.len()
}

/// Live processes, other than this one, with the marker in their environment.
fn marked(marker: &[u8]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = getpid();
    entries
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .parse()
                .ok()
                .and_then(Pid::from_raw)
        })
        .filter(|&pid| pid != own)
        // Zombies have no environment left.
        .filter(|pid| {
            fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).is_ok_and(|environ| {
                environ
                    .split(|&byte| byte == 0)
                    .any(|entry| entry == marker)
            })
        })
        .collect()
}

fn end(pid: Pid) {
    // Errors mean that it ended by itself in between, or belongs to somebody else: nothing to be done.
    if let Ok(group) = getpgid(Some(pid))
        && group != getpgrp()
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = kill_process(pid, Signal::KILL);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn o03_children_of_a_dead_process_and_theirs_are_ended() {
        let process = Uuid::now_v7();
        let mut shell = Command::new("sh")
            .arg("-c")
            // One in the group, one in a session of its own, one without the marker but in the group.
            .arg("sleep 600 & setsid sleep 600 & env -i sleep 600 & echo up; wait")
            .env(MARKER, process.to_string())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = shell.stdout.take().unwrap();
        let mut up = [0; 3];
        output.read_exact(&mut up).unwrap();

        assert_eq!(end_orphans(Uuid::now_v7()), 0);
        assert!(
            shell.try_wait().unwrap().is_none(),
            "others' children are left alone"
        );
        assert!(end_orphans(process) >= 2);
        // Every one of them held the pipe open.
        output.read_to_end(&mut Vec::new()).unwrap();
        assert!(!shell.wait().unwrap().success());
        assert_eq!(end_orphans(process), 0);
    }
}
