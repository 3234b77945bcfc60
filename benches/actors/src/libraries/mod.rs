//! The libraries, each used the way its own documentation shows.

#[cfg(feature = "peers")]
pub mod actix;
#[cfg(feature = "peers")]
pub mod coerce;
pub mod hand;
#[cfg(feature = "peers")]
pub mod kameo;
pub mod postroom;
#[cfg(feature = "peers")]
pub mod ractor;
pub mod tas46;
#[cfg(feature = "peers")]
pub mod xtra;
