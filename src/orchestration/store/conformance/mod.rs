//! What every store has to do, as a suite of cases that any backend can be held against.
