//! Keeping what a child process prints, within bounds.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What is kept of an output that is too long: its end.
pub(super) const TAIL_BYTES: usize = 64 * 1024;

/// An output, whole up to a limit; of a longer one the tail.
#[derive(Debug)]
pub(super) struct Capture {
    bytes: Vec<u8>,
    total: u64,
    limit: usize,
}

impl Capture {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            total: 0,
            limit,
        }
    }

    /// Reads to the end of the output; whatever was read stays when the future is dropped.
    pub(super) async fn read_from(&mut self, mut output: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            match output.read(&mut chunk).await? {
                0 => return Ok(()),
                count => self.push(&chunk[..count]),
            }
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.total += chunk.len() as u64;
        self.bytes.extend_from_slice(chunk);
        // Twice the tail before anything is moved, so that each byte is moved about once.
        if self.overflowed() && self.bytes.len() > 2 * TAIL_BYTES {
            self.bytes.drain(..self.bytes.len() - TAIL_BYTES);
        }
    }

    /// More was printed than the limit.
    pub(super) fn overflowed(&self) -> bool {
        self.total > self.limit as u64
    }

    /// How much was printed.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// All of it, unless it overflowed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last lines, at most `lines` and [`TAIL_BYTES`], without trailing line breaks.
    pub(super) fn last_lines(&self, lines: usize) -> String {
        let start = self.bytes.len().saturating_sub(TAIL_BYTES);
        let text = String::from_utf8_lossy(&self.bytes[start..]);
        let text = text.trim_end();
        let start = text
            .rmatch_indices('\n')
            .nth(lines.saturating_sub(1))
            .map_or(0, |(at, _)| at + 1);
        text[start..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_kept_whole_and_of_a_long_one_the_tail() {
        let mut capture = Capture::new(1024 * 1024);
        let block = vec![b'a'; 512 * 1024];
        capture.push(&block);
        capture.push(&block);
        assert!(!capture.overflowed());
        assert_eq!(capture.bytes().len(), 1024 * 1024);
        for _ in 0..20 {
            capture.push(&block);
        }
        capture.push(b"end");
        assert!(capture.overflowed());
        assert_eq!(capture.total(), 22 * 512 * 1024 + 3);
        assert!(capture.bytes().len() <= 2 * TAIL_BYTES && capture.bytes().ends_with(b"aend"));
        assert_eq!(capture.last_lines(3).len(), TAIL_BYTES);
    }

    #[test]
    fn the_last_lines_are_the_last_lines() {
        let mut capture = Capture::new(0);
        capture.push(b"one\ntwo\nthree\xff\n\n");
        assert_eq!(capture.last_lines(2), "two\nthree\u{fffd}");
        assert_eq!(capture.last_lines(9), "one\ntwo\nthree\u{fffd}");
        assert_eq!(Capture::new(0).last_lines(2), "");
    }
}
