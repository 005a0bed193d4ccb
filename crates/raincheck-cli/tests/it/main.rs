//! The real binary, as people and scripts use it: what it prints, where, and how it ends.
//!
//! Invariant: nothing here sleeps to wait for something; every server is ended by the test that started it.

mod batch;
mod bench;
mod config;
mod confined;
mod doctor;
mod door;
mod examples;
mod feeding;
mod fetch;
mod follow;
mod fronted;
mod guides;
mod help;
mod jobs;
mod kept;
mod keys;
mod kubernetes;
mod listing;
mod logs;
mod nginx;
mod proxied;
mod queues;
mod resumed;
mod rig;
mod secrets;
mod serve;
mod stopping;
mod systemd;
mod terminal;
mod webhook;
mod work;
