//! The model: which language a line is written in. Trained by `train.py`, loaded once.
//!
//! Invariant: features are made here as they were made there; a test compares the accuracy.

use serde::{Deserialize, Serialize};

/// What was trained: a head in JSON, a line end, then a byte for each weight, kind by kind.
const TRAINED: &[u8] = include_bytes!("model.bin");

#[derive(Deserialize)]
struct Head {
    kinds: Vec<String>,
    size: usize,
    scale: f32,
    biases: Vec<f32>,
    accuracy: f32,
}

/// The model.
pub(crate) struct Model {
    head: Head,
    weights: Vec<f32>,
}

/// What the model says of a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guess {
    pub(crate) kind: String,
    /// From 0 to 1.
    pub(crate) certainty: f32,
}

impl Model {
    /// Loads it.
    pub(crate) fn load() -> Result<Self, Box<dyn std::error::Error>> {
        let end = TRAINED
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("a head ends in a line end")?;
        let (head, body) = TRAINED.split_at(end);
        let head: Head = serde_json::from_slice(head)?;
        let weights = body
            .iter()
            .skip(1)
            .map(|byte| f32::from(byte.cast_signed()) * head.scale);
        let weights: Vec<_> = weights.collect();
        if weights.len() != head.size * head.kinds.len() {
            return Err("the model has another size than it says".into());
        }
        Ok(Self { head, weights })
    }

    /// The share of lines that it was right about, of those that it was not trained on.
    pub(crate) fn accuracy(&self) -> f32 {
        self.head.accuracy
    }

    /// What it can tell apart.
    pub(crate) fn kinds(&self) -> &[String] {
        &self.head.kinds
    }

    /// Guesses for several lines at once: each kind's weights are gone through once for all of them.
    pub(crate) fn guess(&self, lines: &[String]) -> Vec<Guess> {
        let features: Vec<_> = lines.iter().map(|line| self.features(line)).collect();
        let mut scores = vec![Vec::with_capacity(self.head.kinds.len()); lines.len()];
        for (weights, bias) in self.weights.chunks_exact(self.head.size).zip(&self.head.biases) {
            for (features, scores) in features.iter().zip(&mut scores) {
                let sum: f32 = features.iter().map(|(at, value)| weights[*at] * value).sum();
                scores.push(bias + sum);
            }
        }
        scores.iter().map(|scores| self.decide(scores)).collect()
    }

    fn decide(&self, scores: &[f32]) -> Guess {
        let (best, highest) = scores
            .iter()
            .enumerate()
            .fold(
                (0, f32::MIN),
                |best, (kind, score)| {
                    if *score > best.1 { (kind, *score) } else { best }
                },
            );
        let all: f32 = scores.iter().map(|score| (score - highest).exp()).sum();
        Guess {
            kind: self.head.kinds[best].clone(),
            certainty: 1.0 / all,
        }
    }

    /// Hashed n-grams of one to three bytes, of length 1 together.
    fn features(&self, line: &str) -> Vec<(usize, f32)> {
        let line = line.trim().as_bytes();
        let mut counts = vec![0.0_f32; self.head.size];
        for n in 1..=3 {
            for gram in line.windows(n) {
                // FNV-1a.
                let hash = gram.iter().fold(0x811c_9dc5_u32, |hash, byte| {
                    (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
                });
                counts[hash as usize % self.head.size] += 1.0;
            }
        }
        let norm = counts
            .iter()
            .map(|count| count * count)
            .sum::<f32>()
            .sqrt()
            .max(1.0);
        let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
        counted.map(|(at, count)| (at, count / norm)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_as_often_right_as_it_says() {
        let model = Model::load().unwrap();
        let data = include_str!("data.tsv");
        let (mut right, mut all) = (0.0_f32, 0.0_f32);
        for kind in model.kinds() {
            let lines = data.lines().filter_map(|row| row.split_once('\t'));
            let lines = lines.filter(|(name, _)| name == kind).take(40);
            let lines: Vec<_> = lines.map(|(_, line)| line.to_owned()).collect();
            for guess in model.guess(&lines) {
                right += if guess.kind == *kind { 1.0 } else { 0.0 };
                all += 1.0;
            }
        }
        assert!((right / all - model.accuracy()).abs() < 0.01, "{right} of {all}");
    }
}
