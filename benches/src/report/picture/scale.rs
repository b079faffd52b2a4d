//! Where numbers stand on an axis, and which are written there.

pub(super) struct Scale {
    /// What is written.
    pub(super) ticks: Vec<f64>,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// From 0, with round numbers.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let top = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let top = if top > 0.0 { top } else { 1.0 };
        let step = round_step(top / 5.0);
        let steps = (top / step).ceil() as usize;
        Self {
            ticks: (0..=steps).map(|number| number as f64 * step).collect(),
            low: 0.0,
            high: steps as f64 * step,
            logarithmic: false,
        }
    }

    /// Between powers of ten. What is not above 0 has no place on it.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let powers = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .map(f64::log10);
        let (low, high) = powers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), power| {
            (low.min(power.floor()), high.max(power.ceil()))
        });
        let (low, high) = match low.is_finite() {
            true => (low, high.max(low + 1.0)),
            false => (0.0, 1.0),
        };
        let powers = low as i32..=high as i32;
        Self {
            ticks: powers.map(|power| 10_f64.powi(power)).collect(),
            low,
            high,
            logarithmic: true,
        }
    }

    /// Just these, which are above 0, at logarithmic distances.
    pub(super) fn at(values: &[f64]) -> Self {
        let low = values.first().copied().unwrap_or(1.0).log10();
        let high = values.last().copied().unwrap_or(1.0).log10();
        let margin = ((high - low) * 0.04).max(0.05);
        Self {
            ticks: values.to_vec(),
            low: low - margin,
            high: high + margin,
            logarithmic: true,
        }
    }

    /// Where a number stands between the ends; `None`: nowhere.
    pub(super) fn place(&self, value: f64, start: f64, end: f64) -> Option<f64> {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        let part = (value - self.low) / (self.high - self.low);
        part.is_finite().then_some(start + part * (end - start))
    }
}

/// 1, 2 or 5 times a power of ten.
fn round_step(about: f64) -> f64 {
    let power = 10_f64.powf(about.log10().floor());
    let mut steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter();
    steps.find(|step| *step >= about).unwrap_or(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_cover_all() {
        let scale = Scale::linear([3.0, 1234.0].into_iter());
        assert_eq!(scale.ticks, [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(scale.place(750.0, 0.0, 100.0), Some(50.0));
        let infinite = Scale::linear([f64::INFINITY, 1.0].into_iter());
        assert_eq!(infinite.ticks.last(), Some(&1.0));
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten() {
        let scale = Scale::logarithmic([30.0, 12_000.0].into_iter());
        assert_eq!(scale.ticks, [10.0, 100.0, 1e3, 1e4, 1e5]);
        assert_eq!(scale.place(1e3, 100.0, 0.0), Some(50.0));
        assert_eq!(scale.place(0.0, 100.0, 0.0), None);
        let one = Scale::logarithmic([10.0].into_iter());
        assert_eq!(one.ticks, [10.0, 100.0]);
    }

    #[test]
    fn given_ticks_stand_where_they_belong() {
        let scale = Scale::at(&[1.0, 10.0, 100.0]);
        assert_eq!(scale.place(10.0, 0.0, 1.0), Some(0.5));
        assert!(Scale::at(&[]).place(1.0, 0.0, 1.0).is_some());
    }
}
