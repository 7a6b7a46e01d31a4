//! Quantiles of any number of durations, in bounded memory.

use std::time::Duration;

/// Each bucket is so much wider than the one before: quantiles are right to 1 %.
const GROWTH: f64 = 1.02;
/// The lower end of the first bucket, in seconds.
const SMALLEST: f64 = 1e-6;
/// Enough buckets for more than a day.
const BUCKETS: usize = 1280;

/// Counts of durations in buckets of exponential width.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum: 0.0 }
    }
}

impl Histogram {
    /// Takes one duration.
    pub(super) fn record(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = (seconds.max(SMALLEST) / SMALLEST).ln() / GROWTH.ln();
        self.counts[(bucket as usize).min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.sum += seconds;
    }

    /// Takes all of another's.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
    }

    /// The duration that this share of all does not exceed; `None` of none.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let middle = bucket.filter(|_| self.total > 0)? as f64 + 0.5;
        Some(Duration::from_secs_f64(SMALLEST * GROWTH.powf(middle)))
    }

    /// The mean; `None` of none.
    pub(super) fn mean(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_secs_f64(self.sum / self.total as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_percent() {
        let (mut whole, mut half) = (Histogram::default(), Histogram::default());
        for ms in 1..=1000 {
            if ms % 2 == 0 { &mut whole } else { &mut half }.record(Duration::from_millis(ms));
        }
        whole.merge(&half);
        for (share, expected) in [(0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (0.0, 0.001)] {
            let actual = whole.quantile(share).unwrap().as_secs_f64();
            assert!((actual / expected - 1.0).abs() < 0.0101, "{share}: {actual}");
        }
        assert!((whole.mean().unwrap().as_secs_f64() - 0.5005).abs() < 1e-9);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_the_end() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1 << 40));
        assert!(histogram.quantile(1.0).unwrap() > Duration::from_secs(86_400));
    }
}
