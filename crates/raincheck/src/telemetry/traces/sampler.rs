//! Which traces are told.
//!
//! Invariant: the choice follows from the trace's id, so that all who meet a trace choose alike.

use opentelemetry::trace::TraceId;

/// Which traces are told, as OpenTelemetry's samplers choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Which share is told, 0 to 1.
    pub share: f64,
    /// Whether that is said only of jobs that come without a `traceparent`: the others follow the choice that theirs tells.
    pub parent_based: bool,
}

/// All of those that come without a `traceparent`; the others follow theirs.
impl Default for Sampler {
    fn default() -> Self {
        Self::parent_based(1.0)
    }
}

impl Sampler {
    /// This share of those that come without a `traceparent`; the others follow theirs.
    #[must_use]
    pub const fn parent_based(share: f64) -> Self {
        Self {
            share,
            parent_based: true,
        }
    }

    /// The sampler of this name and share, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say it; `None` for a name that
    /// is none of `always_on`, `always_off` and `traceidratio`, alone or after `parentbased_`.
    #[must_use]
    pub fn named(name: &str, share: f64) -> Option<Self> {
        let (parent_based, plain) = match name.strip_prefix("parentbased_") {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        let share = match plain {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => share,
            _ => return None,
        };
        Some(Self { share, parent_based })
    }

    /// Whether a trace is told that came with this choice.
    pub(super) fn follows(self, id: TraceId, sampled: bool) -> bool {
        if self.parent_based {
            return sampled;
        }
        // What others who draw go by: the last eight bytes are random (W3C Trace Context level 2, section 5.1).
        let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
        self.draws(u64::from_be_bytes([a, b, c, d, e, f, g, h]) << 1)
    }

    /// Whether one of this even number is among the share.
    pub(super) fn draws(self, number: u64) -> bool {
        let drawn = number >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let told = (drawn as f64) < self.share * (1_u64 << 53) as f64;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_those_of_opentelemetry() {
        let whole = |share, parent_based| Some(Sampler { share, parent_based });
        for (name, sampler) in [
            ("always_on", whole(1.0, false)),
            ("always_off", whole(0.0, false)),
            ("traceidratio", whole(0.25, false)),
            ("parentbased_always_on", whole(1.0, true)),
            ("parentbased_always_off", whole(0.0, true)),
            ("parentbased_traceidratio", whole(0.25, true)),
            ("jaeger_remote", None),
            ("parentbased_", None),
            ("", None),
        ] {
            assert_eq!(Sampler::named(name, 0.25), sampler, "{name}");
        }
    }

    #[test]
    fn only_one_that_is_based_on_the_parent_follows_it() {
        let id = |text| TraceId::from_hex(text).unwrap();
        let (low, high) = (
            id("0af7651916cd43dd0000000000000001"),
            id("0af7651916cd43dd7fffffffffffffff"),
        );
        for (name, told) in [
            ("always_on", [true; 4]),
            ("always_off", [false; 4]),
            ("traceidratio", [true, false, true, false]),
            ("parentbased_always_on", [true, true, false, false]),
            ("parentbased_always_off", [true, true, false, false]),
            ("parentbased_traceidratio", [true, true, false, false]),
        ] {
            let sampler = Sampler::named(name, 0.5).unwrap();
            let follows = |sampled| [sampler.follows(low, sampled), sampler.follows(high, sampled)];
            assert_eq!([follows(true), follows(false)].concat(), told, "{name}");
        }
    }
}
