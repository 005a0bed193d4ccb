//! `raincheck webhook redeliver`.

use clap::Args;

use super::deliveries::DeliveryDocument;
use crate::client::Request;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
However it stands: the schedule of its tries begins anew, and its webhook-id stays the same.

Examples:
  raincheck webhook redeliver msg_01jd8zq3k5e7rv2m4n6p8s0t1wj
  raincheck webhook deliveries --state abandoned --all -q | xargs -n1 raincheck webhook redeliver";

/// Sends a webhook again.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Redeliver {
    /// The webhook
    #[arg(value_parser = delivery_id)]
    id: String,
}

/// A webhook's id: opaque, but safe in a URL.
fn delivery_id(text: &str) -> Result<String, String> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && text.starts_with("msg_") && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err(
            "not a webhook's id: it begins with msg_ and is printed by raincheck webhook deliveries"
                .to_owned(),
        )
    }
}

impl Redeliver {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let request = Request::post(format!("/v1/deliveries/{}/redeliver", self.id));
        let answer = session.call(request, About::Server).await?;
        let delivery: DeliveryDocument = answer.json()?;
        let output = session.output;
        match output.shape {
            Shape::Json => output.document(&answer.body),
            Shape::Quiet => output.line(&delivery.id),
            Shape::Terminal => output.line(&format!("{}  {}", delivery.id, delivery.state)),
            Shape::Plain => output.fields(&[&delivery.id, &delivery.state]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        assert!(delivery_id("msg_01jd8zq3k5e7rv2m4n6p8s0t1wj").is_ok());
        for bad in ["", "msg", "msg_1/../x", "msg_1?x", "job_1", "msg_ü"] {
            assert!(delivery_id(bad).is_err(), "{bad:?}");
        }
    }
}
