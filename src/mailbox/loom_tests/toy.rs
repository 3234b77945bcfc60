//! A state that counts, handlers that may wait, and a task that serves them as an actor's does.

use crate::mailbox::{
    Account, Begin, Duty, Ending, First, Found, Guard, Hold, InPlace, Letter, Level, Loan, Mailbox,
    Outcome, Polled, Receipt, Refused, Return, Sequel, SequelInPlace, Start, StartInPlace, Takes,
    Tenancy, Verdict,
};
use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

pub(super) type Shared = Arc<Mailbox<Toy>>;
pub(super) type LetterOf = Letter<Note, Answer>;
pub(super) type ReceiptOf = Receipt<Note, Answer>;

/// What was handled. Not loom's, so it orders nothing.
#[derive(Clone, Default)]
pub(super) struct Log(std::sync::Arc<Mutex<Vec<u32>>>);

impl Log {
    pub(super) fn handled(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

/// The state of one incarnation.
pub(super) struct Toy {
    /// Changed by every poll of a handler, so that loom sees whether they exclude each other.
    touched: UnsafeCell<u32>,
    mailbox: Shared,
    log: Log,
    _allocated: Track<()>,
}

impl Toy {
    pub(super) fn new(mailbox: &Shared, log: &Log) -> Self {
        Self {
            touched: UnsafeCell::new(0),
            mailbox: Arc::clone(mailbox),
            log: log.clone(),
            _allocated: Track::new(()),
        }
    }
}

/// For a handler that is never done.
pub(super) const FOR_EVER: u32 = u32::MAX;

/// A message whose handler waits that many times.
pub(super) struct Note {
    n: u32,
    waits: u32,
    _allocated: Track<()>,
}

impl Note {
    pub(super) fn new(n: u32) -> Self {
        Self::waiting(n, 0)
    }

    pub(super) fn waiting(n: u32, waits: u32) -> Self {
        Self {
            n,
            waits,
            _allocated: Track::new(()),
        }
    }
}

pub(super) enum Answer {
    Done(u32),
    Back,
    Cancelled,
}

/// Begins to handle a note. There is a duty if it was asked through the queue.
struct Handle {
    note: Note,
    duty: Option<Duty<Note, Answer>>,
}

impl Start<Toy> for Handle {
    type Output = u32;

    fn start(
        self,
        toy: &mut Toy,
    ) -> (
        impl Begin<Future = impl Future<Output = u32> + Send> + Send,
        impl Sequel<u32>,
    ) {
        let (begin, mailbox) = handler(toy, self.note);
        let duty = self.duty;
        (begin, After { mailbox, duty })
    }
}

/// The same for an asker that handles it itself.
struct HandleHere(Note);

impl StartInPlace<Toy> for HandleHere {
    type Output = u32;
    type Receipt = ReceiptOf;

    fn start(
        self,
        toy: &mut Toy,
    ) -> (
        impl Begin<Future = impl Future<Output = u32> + Send> + Send,
        impl SequelInPlace<u32, Receipt = ReceiptOf>,
    ) {
        let (begin, mailbox) = handler(toy, self.0);
        (begin, AfterHere(mailbox))
    }
}

fn handler<'a>(
    toy: &'a mut Toy,
    note: Note,
) -> (impl FnOnce() -> Running<'a> + Send, &'a Mailbox<Toy>) {
    let begin = || Running {
        touched: &mut toy.touched,
        log: &toy.log,
        note,
    };
    (begin, &toy.mailbox)
}

struct Running<'a> {
    touched: &'a mut UnsafeCell<u32>,
    log: &'a Log,
    note: Note,
}

impl Running<'_> {
    fn touch(&self) {
        // SAFETY: what loom is to find out.
        self.touched.with_mut(|n| unsafe { *n += 1 });
    }
}

impl Future for Running<'_> {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.touch();
        if self.note.waits == FOR_EVER {
            return Poll::Pending;
        }
        if self.note.waits > 0 {
            // What it waits for comes at once.
            self.note.waits -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.log.0.lock().unwrap().push(self.note.n);
        Poll::Ready(self.note.n)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.touch();
    }
}

struct After<'a> {
    mailbox: &'a Mailbox<Toy>,
    duty: Option<Duty<Note, Answer>>,
}

impl Sequel<u32> for After<'_> {
    fn done(self, n: u32) -> Verdict {
        self.mailbox.settle_ok();
        if let Some(duty) = self.duty {
            duty.answer(Answer::Done(n));
        }
        Ok(())
    }

    fn ended(self, _: &Ending) {
        self.mailbox.settle(Outcome::Cancelled);
        if let Some(duty) = self.duty {
            duty.answer(Answer::Cancelled);
        }
    }

    fn message() -> &'static str {
        "a note"
    }
}

struct AfterHere<'a>(&'a Mailbox<Toy>);

impl<'a> SequelInPlace<u32> for AfterHere<'a> {
    type Later = After<'a>;
    type Receipt = ReceiptOf;

    fn enter(&self) {}

    fn done(&self, _: &u32) {
        self.0.settle_ok();
    }

    fn defer(self) -> (Self::Later, ReceiptOf) {
        let (duty, receipt) = Duty::begun(None);
        let after = After {
            duty: Some(duty),
            ..self.forgo()
        };
        (after, receipt)
    }

    fn forgo(self) -> Self::Later {
        After {
            mailbox: self.0,
            duty: None,
        }
    }
}

impl Takes<Note> for Toy {
    type Answer = Answer;

    fn open(letter: LetterOf, hold: &mut Hold<'_, Self>, cx: &mut Context<'_>) -> Polled {
        match letter.claim() {
            Ok((note, duty)) => {
                let duty = duty.was_asked().then_some(duty);
                hold.seat()
                    .start_and_poll(Handle { note, duty }, &Unguarded, cx)
            }
            Err(why) => {
                hold.mailbox().settle(why.into());
                Polled::Done
            }
        }
    }

    fn give_back(letter: LetterOf, why: Return, mailbox: &Mailbox<Self>) -> bool {
        match letter.claim() {
            Ok((_, duty)) => {
                if why == Return::Stopped {
                    mailbox.settle(Outcome::Undelivered);
                }
                duty.answer(Answer::Back);
                true
            }
            Err(revocation) => {
                if why == Return::Stopped {
                    mailbox.settle(revocation.into());
                }
                false
            }
        }
    }
}

struct Unguarded;

impl Guard for Unguarded {
    fn call<T>(&self, code: impl FnOnce() -> T) -> Result<T, std::sync::Arc<str>> {
        Ok(code())
    }
}

/// The actor's task, with the phases of starting and stopping left out.
pub(super) struct Task {
    mailbox: Shared,
    tenancy: Option<Tenancy>,
    log: Log,
}

/// A mailbox with a state in it, and its task.
pub(super) fn actor(capacity: usize) -> (Shared, Task, Log) {
    let (mailbox, mut tenancy) = Mailbox::new(capacity);
    let mailbox = Arc::new(mailbox);
    let log = Log::default();
    if let Some(mut hold) = mailbox.enter(&mut tenancy) {
        drop(hold.seat().sit(Toy::new(&mailbox, &log)));
    }
    let task = Task {
        mailbox: Arc::clone(&mailbox),
        tenancy: Some(tenancy),
        log: log.clone(),
    };
    (mailbox, task, log)
}

impl Task {
    /// Serves to the end.
    pub(super) fn run(mut self) {
        block_on(poll_fn(|cx| {
            if let Some(tenancy) = &mut self.tenancy {
                self.mailbox.introduce(tenancy, cx.waker());
            }
            self.poll(cx)
        }));
    }

    /// Serves as long as there is something to do, without a waker.
    pub(super) fn settle(&mut self) {
        block_on(poll_fn(|cx| {
            let _ = self.poll(cx);
            Poll::Ready(())
        }));
    }

    /// Takes what is queued as a batch is taken, and handles it.
    pub(super) fn take_batch(&mut self) -> Vec<u32> {
        let tenancy = self.tenancy.as_mut().expect("not ended");
        let mut hold = self.mailbox.enter(tenancy).expect("no asker has the turn");
        let mut batch = Vec::new();
        while let Some(letter) = hold.pop_same::<Note>() {
            match letter.claim() {
                Ok((note, duty)) => {
                    self.mailbox.settle(Outcome::Ok);
                    batch.push(note.n);
                    duty.answer(Answer::Done(note.n));
                }
                Err(revocation) => self.mailbox.settle(revocation.into()),
            }
        }
        batch
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tenancy = self.tenancy.as_mut().expect("not polled after its end");
        let Some(mut hold) = self.mailbox.enter(tenancy) else {
            return Poll::Pending;
        };
        let mailbox = hold.mailbox();
        loop {
            if let Some(run) = hold.seat().running() {
                if mailbox.level() == Level::Kill {
                    end_running(&mut hold);
                    break;
                }
                if run.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                hold.seat().clear();
                continue;
            }
            if mailbox.take_let_out() {
                // A restart: the next incarnation takes the seat.
                drop(hold.seat().stand());
                drop(hold.seat().sit(Toy::new(&self.mailbox, &self.log)));
                continue;
            }
            if mailbox.level() >= Level::Stop {
                break;
            }
            if let Some(envelope) = hold.first().and_then(First::pop) {
                if let Polled::Waits = envelope.open(&mut hold, cx) {
                    // What it waits for comes at once.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            match hold.look() {
                Found::Nothing => {}
                Found::Drained => break,
                Found::Queued => {
                    loom::thread::yield_now();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            match hold.rest() {
                Ok(()) => return Poll::Pending,
                Err(again) => hold = again,
            }
        }
        self.finish();
        Poll::Ready(())
    }

    fn finish(&mut self) {
        let Some(tenancy) = self.tenancy.take() else {
            return;
        };
        self.mailbox.close();
        if let Some(hold) = self.mailbox.resign(tenancy) {
            end(hold);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Loom has found something, and its locks are no good any more.
            return;
        }
        self.finish();
    }
}

fn end_running(hold: &mut Hold<'_, Toy>) {
    hold.seat().end(&Ending::Killed, &Unguarded);
}

fn end(mut hold: Hold<'_, Toy>) {
    end_running(&mut hold);
    let toy = hold.seat().stand();
    let mailbox = hold.mailbox();
    while let Some(envelope) = hold.pop_last() {
        envelope.give_back(Return::Stopped, mailbox);
    }
    // Last, for it may hold the mailbox's last reference but the caller's.
    drop(toy);
}

/// What a registry does with an actor whose handler never yields.
pub(super) fn give_up(mailbox: &Mailbox<Toy>) {
    mailbox.close();
    if let Some(mut seizure) = mailbox.seize() {
        while let Some(envelope) = seizure.pop() {
            envelope.give_back(Return::Stopped, mailbox);
        }
    }
}

/// Tells, if there is room.
pub(super) fn tell(mailbox: &Mailbox<Toy>, n: u32) -> bool {
    match mailbox.try_push(LetterOf::tell(Note::new(n))) {
        Ok(()) => true,
        Err((letter, _)) => {
            drop(letter.take_back(None));
            false
        }
    }
}

/// Tells, and pushes the oldest out if there is no room.
pub(super) fn tell_evicting(mailbox: &Mailbox<Toy>, n: u32) -> Result<(), Refused> {
    let pushed = match mailbox.try_push(LetterOf::tell(Note::new(n))) {
        Err((letter, Refused::Full)) => mailbox.push_in_place_of_oldest(letter),
        pushed => pushed.map(|()| None),
    };
    match pushed {
        Ok(oldest) => {
            if let Some(oldest) = oldest {
                oldest.give_back(Return::Evicted, mailbox);
            }
            Ok(())
        }
        Err((letter, refused)) => {
            drop(letter.take_back(None));
            Err(refused)
        }
    }
}

/// Asks as an asker does: in place if the actor is idle, else through the queue. `None`: it was refused.
pub(super) fn ask(mailbox: &Mailbox<Toy>, note: Note) -> Option<Answer> {
    let mut receipt = match begin(mailbox, note) {
        Begun::Answered(n) => return Some(Answer::Done(n)),
        Begun::Accepted(receipt) => receipt,
        Begun::Refused => return None,
    };
    Some(block_on(poll_fn(|cx| receipt.poll_answer(cx))))
}

pub(super) enum Begun {
    Answered(u32),
    Accepted(ReceiptOf),
    Refused,
}

pub(super) fn begin(mailbox: &Mailbox<Toy>, note: Note) -> Begun {
    let note = match in_place(mailbox, note) {
        Ok(begun) => return begun,
        Err(note) => note,
    };
    let (letter, receipt) = Letter::ask(note, None);
    match mailbox.try_push(letter) {
        Ok(()) => Begun::Accepted(receipt),
        Err((letter, _)) => {
            drop(letter.take_back(Some(receipt)));
            Begun::Refused
        }
    }
}

fn in_place(mailbox: &Mailbox<Toy>, note: Note) -> Result<Begun, Note> {
    let Some(mut loan) = mailbox.borrow() else {
        return Err(note);
    };
    if !loan.is_unused() {
        over(loan);
        return Err(note);
    }
    loan.begin();
    let started = HandleHere(note);
    // The toy's handlers register no waker; whoever hands over wakes the task.
    let waker = std::task::Waker::noop();
    let mut cx = Context::from_waker(waker);
    Ok(
        match loan.seat().start_in_place(started, &Unguarded, &mut cx) {
            InPlace::Done(n, _) => {
                if let Some(hold) = loan.hand_back() {
                    end(hold);
                }
                Begun::Answered(n)
            }
            InPlace::Waits(receipt) => {
                over(loan);
                Begun::Accepted(receipt)
            }
            InPlace::Panicked(text) => panic!("{text}"),
        },
    )
}

fn over(loan: Loan<'_, Toy>) {
    if let Some(hold) = loan.hand_over() {
        end(hold);
    }
}

/// Every message is accounted for, and none is anywhere.
pub(super) fn assert_settled(account: &Account) {
    assert!(account.is_balanced(), "{account}");
    assert_eq!((account.queued, account.running), (0, 0), "{account}");
}

/// Tries the interleavings with at most as many preemptions as `LOOM_MAX_PREEMPTIONS` says.
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    loom::model(test);
}

/// The same with one preemption less, for a test of many steps.
pub(super) fn large_model(test: impl Fn() + Send + Sync + 'static) {
    smaller_model(1, test);
}

/// The same with two less, for the test of the most steps.
pub(super) fn largest_model(test: impl Fn() + Send + Sync + 'static) {
    smaller_model(2, test);
}

fn smaller_model(less: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder
        .preemption_bound
        .map(|bound| bound.saturating_sub(less));
    builder.check(test);
}
