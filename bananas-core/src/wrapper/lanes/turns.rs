//! Whose turn it is among lanes that share by weight.

/// Shares places among lanes: each gets its weight of the whole over time, evenly mixed.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    weights: Vec<i64>,
    /// How far each lane is behind its share; they sum up to zero.
    behind: Vec<i64>,
}

impl Turns {
    /// The weights are those of the most urgent lane first.
    pub(super) fn new(weights: &[u32]) -> Self {
        Self {
            weights: weights.iter().map(|weight| i64::from(*weight)).collect(),
            behind: vec![0; weights.len()],
        }
    }

    /// How many of so many places each lane gets. What a lane does not use is for the others, and is not made
    /// up for later.
    pub(super) fn share(&mut self, places: usize) -> Vec<usize> {
        let mut shares = vec![0; self.weights.len()];
        let sum: i64 = self.weights.iter().sum();
        for _ in 0..places {
            for (behind, weight) in self.behind.iter_mut().zip(&self.weights) {
                *behind += weight;
            }
            // The last of equals in this order is the most urgent.
            let next = (0..self.behind.len())
                .rev()
                .max_by_key(|lane| self.behind[*lane]);
            if let Some(lane) = next {
                self.behind[lane] -= sum;
                shares[lane] += 1;
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_its_share_at_once_and_one_by_one() {
        assert_eq!(Turns::new(&[1, 2, 4]).share(70), [10, 20, 40]);
        let mut turns = Turns::new(&[1, 2, 4]);
        let mut sums = [0; 3];
        for _ in 0..70 {
            let share = turns.share(1);
            sums.iter_mut()
                .zip(share)
                .for_each(|(sum, one)| *sum += one);
        }
        assert_eq!(sums, [10, 20, 40]);
        assert_eq!(
            Turns::new(&[1, 1]).share(1),
            [1, 0],
            "of equals, the urgent"
        );
    }
}
