//! Figures as lines of text or JSON.

use serde_json::json;

/// Prints figures as they come.
pub(crate) struct Report {
    json: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// One figure: what was measured, its value, and the unit.
    pub(crate) fn figure(&mut self, target: &str, what: &str, value: f64, unit: &str) {
        if self.json {
            println!(
                "{}",
                json!({ "target": target, "figure": what, "value": value, "unit": unit })
            );
        } else if value >= 100.0 {
            println!("{target:<16} {what:<34} {value:>12.0} {unit}");
        } else {
            println!("{target:<16} {what:<34} {value:>12.2} {unit}");
        }
    }
}

/// The middle value.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
