//! What OpenTelemetry's own variables say of traces, where no setting of ours does.
//!
//! Invariant: what they say wrongly is told and else passed over, as OpenTelemetry's specification of environment variables has it:
//! it never keeps a server from starting.

use super::kinds::{Kind, PublicUrl, Share, TraceSampler};
use super::origin::{Found, Origin};
use super::table::Values;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Adds what these variables say to what is said of traces; gives back what of it is passed over, and why.
pub(super) fn add(values: &mut Values, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let said = |name: &str| variable(name).filter(|text| !text.is_empty());
    let mut passed_over = Vec::new();
    if let Some(text) = said(ENDPOINT) {
        passed_over.extend(take::<PublicUrl>(values, "otlp_endpoint", ENDPOINT, text).err());
    }
    // A share of ours is meant for the sampler that is ours.
    if values.contains_key("trace_sampler") || values.contains_key("trace_share") {
        return passed_over;
    }
    let Some(sampler) = said(SAMPLER) else {
        return passed_over;
    };
    let draws = sampler.ends_with("traceidratio");
    match take::<TraceSampler>(values, "trace_sampler", SAMPLER, sampler) {
        Ok(()) => {
            if let Some(text) = said(ARGUMENT).filter(|_| draws) {
                passed_over.extend(take::<Share>(values, "trace_share", ARGUMENT, text).err());
            }
        }
        Err(why) => passed_over.push(why),
    }
    passed_over
}

fn take<T: Kind>(values: &mut Values, setting: &'static str, name: &str, text: String) -> Result<(), String> {
    let texts = vec![text];
    T::read(&texts).map_err(|why| format!("{name} is passed over: {why}"))?;
    let origin = Origin::Variable(name.to_owned());
    values.entry(setting).or_insert(Found { texts, origin });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the settings say then, and how many variables are passed over.
    fn said(ours: &[(&'static str, &str)], variables: &[(&str, &str)]) -> (String, usize) {
        let found = |text: &str| Found {
            texts: vec![text.to_owned()],
            origin: Origin::Default,
        };
        let mut values: Values = ours.iter().map(|(name, text)| (*name, found(text))).collect();
        let variable = |name: &str| {
            let mut all = variables.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, text)| (*text).to_owned())
        };
        let passed_over = add(&mut values, variable).len();
        let texts = values
            .iter()
            .map(|(name, found)| format!("{name}={}", found.texts.join(",")));
        (texts.collect::<Vec<_>>().join(" "), passed_over)
    }

    #[test]
    fn opentelemetrys_variables_count_where_ours_say_nothing() {
        let url = "http://collector:4318";
        for (ours, variables, expected) in [
            (
                &[][..],
                &[(ENDPOINT, url)][..],
                ("otlp_endpoint=http://collector:4318", 0),
            ),
            (
                &[("otlp_endpoint", "http://a")],
                &[(ENDPOINT, url)],
                ("otlp_endpoint=http://a", 0),
            ),
            (&[], &[(ENDPOINT, "collector")], ("", 1)),
            (&[], &[(ENDPOINT, "")], ("", 0)),
            (&[], &[(SAMPLER, "always_off")], ("trace_sampler=always_off", 0)),
            (
                &[],
                &[(SAMPLER, "traceidratio"), (ARGUMENT, "0.25")],
                ("trace_sampler=traceidratio trace_share=0.25", 0),
            ),
            (
                &[],
                &[(SAMPLER, "parentbased_traceidratio"), (ARGUMENT, "7")],
                ("trace_sampler=parentbased_traceidratio", 1),
            ),
            // An argument is its sampler's, and nobody's alone.
            (
                &[],
                &[(SAMPLER, "always_on"), (ARGUMENT, "0")],
                ("trace_sampler=always_on", 0),
            ),
            (&[], &[(ARGUMENT, "0.5")], ("", 0)),
            (&[], &[(SAMPLER, "sometimes"), (ARGUMENT, "0.5")], ("", 1)),
            (
                &[("trace_share", "0.1")],
                &[(SAMPLER, "always_on")],
                ("trace_share=0.1", 0),
            ),
        ] {
            let (texts, passed_over) = said(ours, variables);
            assert_eq!((texts.as_str(), passed_over), expected, "{ours:?} {variables:?}");
        }
    }
}
