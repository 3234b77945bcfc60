//! What only a file can show: other processes, crashes, rights, versions, locks.
#![cfg(feature = "sqlite")]

mod sqlite {
    pub(crate) mod commits;
    pub(crate) mod costs;
    pub(crate) mod crash;
    pub(crate) mod kit;
    pub(crate) mod opening;
    pub(crate) mod sharing;
}
