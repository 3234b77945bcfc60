//! Standard output and standard error. A reader that goes away (`| head`) ends nothing and panics nothing.

use std::io::{self, ErrorKind, IsTerminal, Write};

use postroom::orchestration::state::{StepState, TaskState};

/// Prints to standard output: the answer.
pub(crate) fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"));
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints a line to standard error: what happens meanwhile.
pub(crate) fn note(text: &str) {
    // There is nobody left to tell that it failed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// As [`note`], below the `^C` that a terminal shows for the key.
pub(crate) fn note_after_key(text: &str) {
    let line_break = if io::stderr().is_terminal() { "\n" } else { "" };
    note(&format!("{line_break}{text}"));
}

/// Prints an error to standard error.
pub(crate) fn error(text: &str) {
    let word = Paint::for_stderr().paint(Colour::Red, "error:");
    note(&format!("{word} {}", clean(text)));
}

/// Text that others wrote, without characters that could play tricks with a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|char| match char {
            '\n' | '\t' => char,
            char if char.is_control() => '\u{fffd}',
            char => char,
        })
        .collect()
}

/// The first line, at most `width` characters.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let mut lines = text.trim_end().lines();
    let line = clean(lines.next().unwrap_or_default());
    if line.chars().count() <= width && lines.next().is_none() {
        return line;
    }
    let mut short: String = line.chars().take(width.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// Longer lines are cut when they are shown: what a step printed may be one line of a megabyte.
const LINE: usize = 2_000;

/// All lines, clean, none of them endless.
pub(crate) fn clip(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| shorten(line, LINE));
    lines.collect::<Vec<_>>().join("\n")
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Dim,
}

/// Colours where somebody sees them and wants them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        Self {
            on: io::stdout().is_terminal() && wanted(),
        }
    }

    pub(crate) fn for_stderr() -> Self {
        Self {
            on: io::stderr().is_terminal() && wanted(),
        }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Cyan => "36",
            Colour::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// <https://no-color.org>: any value that is not empty switches colours off.
fn wanted() -> bool {
    let set = |name: &str| std::env::var_os(name);
    set("NO_COLOR").is_none_or(|value| value.is_empty())
        && set("TERM").is_none_or(|term| term != "dumb")
}

pub(crate) fn task_colour(state: TaskState) -> Colour {
    match state {
        TaskState::Complete | TaskState::ResolvedManually => Colour::Green,
        TaskState::Failed | TaskState::Cancelled => Colour::Red,
        TaskState::Blocked | TaskState::Paused => Colour::Yellow,
        TaskState::Running | TaskState::Waiting => Colour::Cyan,
        TaskState::Pending => Colour::Dim,
    }
}

pub(crate) fn step_colour(state: StepState) -> Colour {
    match state {
        StepState::Complete | StepState::ResolvedManually => Colour::Green,
        StepState::Failed | StepState::Cancelled => Colour::Red,
        StepState::RetryWait => Colour::Yellow,
        StepState::Running | StepState::Ready => Colour::Cyan,
        StepState::Pending | StepState::Skipped => Colour::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\td"), "a\u{fffd}[2Jb\nc\td");
    }

    #[test]
    fn long_text_is_shortened_by_characters() {
        assert_eq!(shorten("short", 10), "short");
        assert_eq!(shorten("first\nsecond", 20), "first...");
        assert_eq!(shorten("ääääääääää", 8), "äääää...");
        assert_eq!(shorten("", 8), "");
    }

    #[test]
    fn no_line_that_is_shown_is_endless() {
        let shown = clip(&format!("first\n\n{}\u{7}\n", "x".repeat(1_000_000)));
        let lines: Vec<_> = shown.lines().map(str::len).collect();
        assert_eq!(lines, [5, 0, LINE]);
        assert_eq!(clip("one\t\u{7}\r\ntwo"), "one\t\u{fffd}\ntwo");
    }
}
