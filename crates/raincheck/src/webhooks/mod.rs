//! Signed requests to others: what every push request and webhook carries, so that who gets it can tell that it is ours;
//! the courier that sends webhooks; and how a receiver checks them ([`verify`]).
//!
//! Invariant: a secret leaves this module only as a signature, or towards those who may verify ([`sign::written`]).

pub(crate) mod courier;
pub(crate) mod secrets;
pub(crate) mod sign;
pub mod verify;
