//! What only a file can show: other processes, crashes, rights, versions, locks.
#![cfg(feature = "sqlite")]

mod joining;
mod outage;
mod together;

mod sqlite {
    pub(crate) mod commits;
    pub(crate) mod costs;
    pub(crate) mod joining;
    pub(crate) mod kit;
    pub(crate) mod opening;
    pub(crate) mod sharing;
    pub(crate) mod together;
}
