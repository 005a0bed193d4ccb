//! SIGHUP: the configuration is read again, and what can be followed without a restart is.
//!
//! Invariant: a configuration with a mistake changes nothing; what is not followed is named in the log.

use raincheck::Node;
use raincheck::server::Tls;
use raincheck::workers::process::Programs;
use tracing::field::display;
use tracing::{error, info, warn};

use crate::config::{Config, Flags};
use crate::exit::Failed;

use super::logs::LogFilter;
use super::queues;

/// What a running server follows its configuration with.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// What TLS is spoken with.
    pub(crate) tls: Option<&'a Tls>,
    /// The log's filter.
    pub(crate) log: &'a LogFilter,
    /// What holds for its programs.
    pub(crate) programs: &'a Programs,
    /// What the server was started with.
    pub(crate) flags: &'a Flags,
}

impl Follower<'_> {
    /// Reads the configuration again and follows it; tells in the log what came of it.
    pub(crate) async fn reload(&self, config: &mut Config) {
        match self.try_reload(config).await {
            Ok(()) => {
                let file = config.file.as_ref().map(|file| display(file.display()));
                info!(file, "the configuration was read again");
            }
            Err(failed) => error!("the configuration is left as it was: {failed}"),
        }
    }

    async fn try_reload(&self, config: &mut Config) -> Result<(), Failed> {
        let fresh = Config::load(self.flags)?;
        let rules = fresh.programs()?;
        let plan = queues::planned(self.node, &fresh.queues).await?;
        if let Some(tls) = self.tls {
            tls.reload().map_err(|error| Failed::usage(error.to_string()))?;
        }
        // Nothing below refuses what was written; it fails only with the store.
        self.log.set(&fresh.settings.log);
        // Before the queues: programs that are kept alive are started again where theirs changed.
        self.programs.set(rules);
        queues::follow(self.node, plan, &config.queues, &fresh.queues).await?;
        let left: Vec<_> = fresh
            .changed(config)
            .into_iter()
            .filter(|(_, live)| !live)
            .collect();
        for (name, _) in &left {
            warn!(
                setting = name,
                "this setting is followed after the next start only"
            );
        }
        // What waits for a start is compared with what is in force, so it is named again by the next reading.
        let in_force = std::mem::replace(config, fresh);
        config.keep(&in_force, left.into_iter().map(|(name, _)| name));
        Ok(())
    }
}
