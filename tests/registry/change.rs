//! Actors come and go while a registry runs (R15).
