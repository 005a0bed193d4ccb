//! One file per command.

pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod fetch;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod master_key;
pub(crate) mod openapi;
pub(crate) mod proxy;
pub(crate) mod queue;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod version;
pub(crate) mod webhook;
pub(crate) mod work;
