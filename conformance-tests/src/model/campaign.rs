//! Makes numbered random sequences, plays them, and makes one that fails as short as it can.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How often a shorter sequence is tried. Most failures are as short as they get after a few hundred.
const SHRINKS: u32 = 3_000;

/// How many sequences to play, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The number of the first sequence. The same number is always the same sequence.
    pub first: u64,
    /// How many sequences.
    pub cases: u64,
    /// The most steps of one.
    pub steps: usize,
}

/// What was played without a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many sequences.
    pub sequences: u64,
    /// How many steps in all.
    pub steps: u64,
}

/// The shortest sequence found in which the backend does what the model does not.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The number of the sequence it was made from.
    pub sequence: u64,
    /// How many sequences were played before it showed, itself included.
    pub after: u64,
    /// One line for each step, with the answer; the last with both answers.
    pub text: String,
}

impl Campaign {
    /// So many sequences, from number 0 on, unless `BANANAS_MODEL_CASES` and `BANANAS_MODEL_FIRST` say otherwise.
    ///
    /// # Panics
    ///
    /// When one of the variables is no number.
    #[must_use]
    pub fn from_env(cases: u64, steps: usize) -> Self {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|e| panic!("{name}={text:?} is not a whole number: {e}")),
            Err(_) => default,
        };
        Self {
            first: number("BANANAS_MODEL_FIRST", 0),
            cases: number("BANANAS_MODEL_CASES", cases),
            steps,
        }
    }

    /// Plays the sequences. `play` answers with the lines of the sequence when it fails.
    pub(super) fn run<T: Clone + fmt::Debug>(
        &self,
        step: impl Strategy<Value = T> + Clone,
        play: impl Fn(u64, &[T]) -> Result<(), String>,
    ) -> Result<Survey, Counterexample> {
        let play = |number: u64, steps: &[T]| {
            let played = catch_unwind(AssertUnwindSafe(|| play(number, steps)));
            played.unwrap_or_else(|panic| Err(of_panic(panic.as_ref(), steps)))
        };
        let sequences = proptest::collection::vec(step, 1..=self.steps);
        let mut survey = Survey::default();
        for sequence in self.first..self.first + self.cases {
            let tree = sequences
                .new_tree(&mut runner(sequence))
                .expect("no step is filtered out");
            let steps = tree.current();
            survey.sequences += 1;
            survey.steps += steps.len() as u64;
            if let Err(text) = play(sequence, &steps) {
                return Err(Counterexample {
                    sequence,
                    after: survey.sequences,
                    text: shortest(tree, text, |steps| play(sequence, steps)),
                });
            }
        }
        Ok(survey)
    }
}

/// Randomness that the number of the sequence decides.
fn runner(sequence: u64) -> TestRunner {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&sequence.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// Leaves out steps and makes numbers smaller for as long as it still fails.
fn shortest<T: Clone>(
    mut tree: impl ValueTree<Value = Vec<T>>,
    mut text: String,
    play: impl Fn(&[T]) -> Result<(), String>,
) -> String {
    let mut steps = tree.current();
    let mut goes_on = tree.simplify();
    for _ in 0..SHRINKS {
        if !goes_on {
            break;
        }
        let simpler = tree.current();
        goes_on = match play(&simpler) {
            Ok(()) => tree.complicate(),
            Err(shorter) => {
                (steps, text) = (simpler, shorter);
                tree.simplify()
            }
        };
    }
    fewest(steps, text, play)
}

/// Leaves out steps until each that is left is needed: leaving out one may make an earlier one needless.
fn fewest<T: Clone>(
    mut steps: Vec<T>,
    mut text: String,
    play: impl Fn(&[T]) -> Result<(), String>,
) -> String {
    let mut at = steps.len();
    while at > 0 {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if let Err(shorter) = play(&fewer) {
            (steps, text) = (fewer, shorter);
            at = steps.len();
        }
    }
    text
}

/// What is known of a sequence whose player or backend panicked.
fn of_panic<T: fmt::Debug>(panic: &(dyn std::any::Any + Send), steps: &[T]) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    format!("{}\n  it panicked: {message}", steps.join("\n"))
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            after,
            text,
        } = self;
        write!(
            f,
            "sequence {sequence} is answered otherwise than by the model (after {after} sequences), made shorter:\n\
             {text}\nthe whole again: BANANAS_MODEL_FIRST={sequence} BANANAS_MODEL_CASES=1"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: Campaign = Campaign {
        first: 0,
        cases: 50,
        steps: 40,
    };

    fn fails_with_two_large_steps(_: u64, steps: &[u8]) -> Result<(), String> {
        let large = steps.iter().filter(|step| **step >= 100).count();
        if large < 2 {
            return Ok(());
        }
        Err(format!("{steps:?}"))
    }

    #[test]
    fn a_failing_sequence_is_made_as_short_as_it_gets() {
        let found = CAMPAIGN
            .run(0..=255_u8, fails_with_two_large_steps)
            .unwrap_err();
        assert_eq!(found.text, "[100, 100]");
    }

    #[test]
    fn a_number_is_always_the_same_sequence() {
        let play = |number: u64, steps: &[u8]| match number {
            7 => Err(format!("{steps:?}")),
            _ => Ok(()),
        };
        let from = |first| Campaign { first, ..CAMPAIGN };
        let whole = |first| {
            from(first)
                .run(proptest::strategy::Just(3), play)
                .unwrap_err()
        };
        assert_eq!((whole(0).sequence, whole(0).after), (7, 8));
        assert_eq!((whole(7).sequence, whole(7).after), (7, 1));
    }

    #[test]
    fn a_panic_is_a_failure_and_not_the_end() {
        let play = |_: u64, steps: &[u8]| {
            assert!(steps.len() < 3, "three steps are too many");
            Ok(())
        };
        let found = CAMPAIGN.run(0..=255_u8, play).unwrap_err();
        assert!(found.text.contains("three steps are too many"), "{found}");
        assert_eq!(found.text.lines().count(), 4, "{found}");
    }
}
