//! What the parts of a start took.

use std::io::{self, Read, Write};

use shim::start::Step;

use crate::sys;

/// Bytes of one step on the pipe: which, and microseconds.
const STEP_BYTES: usize = 5;

/// The steps so far, each once, in the order in which they first came.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// When the last step ended.
    last_micros: i64,
    steps: Vec<(Step, u64)>,
}

impl Trace {
    /// The first step begins now.
    pub(crate) fn begin() -> Self {
        Self {
            last_micros: sys::steady_micros(),
            steps: Vec::new(),
        }
    }

    /// This step ends now, and the next begins.
    pub(crate) fn mark(&mut self, step: Step) {
        let now = sys::steady_micros();
        self.add(step, u64::try_from(now - self.last_micros).unwrap_or(0));
        self.last_micros = now;
    }

    /// Takes in what another process did meanwhile; only the rest belongs to the step that is
    /// marked next.
    pub(crate) fn include(&mut self, steps: &[(Step, u64)]) {
        for (step, micros) in steps {
            self.add(*step, *micros);
            self.last_micros += i64::try_from(*micros).unwrap_or(0);
        }
    }

    /// The steps.
    pub(crate) fn into_steps(self) -> Vec<(Step, u64)> {
        self.steps
    }

    fn add(&mut self, step: Step, micros: u64) {
        match self.steps.iter_mut().find(|(known, _)| *known == step) {
            Some((_, sum)) => *sum += micros,
            None => self.steps.push((step, micros)),
        }
    }

    /// Writes the steps for [`receive`].
    pub(crate) fn send(&self, mut pipe: impl Write) -> io::Result<()> {
        let mut bytes = vec![u8::try_from(self.steps.len()).unwrap_or(0)];
        for (step, micros) in &self.steps {
            bytes.push(step.to_byte());
            bytes.extend(u32::try_from(*micros).unwrap_or(u32::MAX).to_le_bytes());
        }
        pipe.write_all(&bytes)
    }
}

/// Reads what [`Trace::send`] wrote.
pub(crate) fn receive(mut pipe: impl Read) -> io::Result<Vec<(Step, u64)>> {
    let mut count = [0];
    pipe.read_exact(&mut count)?;
    let mut steps = Vec::new();
    for _ in 0..count[0] {
        let mut bytes = [0; STEP_BYTES];
        pipe.read_exact(&mut bytes)?;
        let [step, micros @ ..] = bytes;
        steps.push((Step::from_byte(step), u32::from_le_bytes(micros).into()));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_summed_and_sent() {
        let mut trace = Trace {
            last_micros: 0,
            steps: Vec::new(),
        };
        trace.include(&[(Step::Stack, 3), (Step::App, 4), (Step::Stack, 5)]);
        assert_eq!(trace.last_micros, 12);
        let mut sent = Vec::new();
        trace.send(&mut sent).unwrap();
        let expected = vec![(Step::Stack, 8), (Step::App, 4)];
        assert_eq!(receive(sent.as_slice()).unwrap(), expected);
        assert!(receive(&sent[..3]).is_err());
        trace.mark(Step::App);
        assert_eq!(trace.into_steps().len(), 2);
    }
}
