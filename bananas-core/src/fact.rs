//! [`Fact`]: something about a backend that decides what it keeps, said for the people who run it.
//!
//! A backend says them in [`Broker::facts`](crate::Broker::facts) and
//! [`StateStore::facts`](crate::StateStore::facts); `bananas doctor` shows them.

use std::fmt;

use crate::Durability;

/// How much a fact matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactLevel {
    /// Good to know.
    Info,
    /// Jobs can be lost or refused in a case that is to be expected, or nobody can tell.
    Warning,
    /// Jobs are being lost or refused, or will be.
    Danger,
}

impl fmt::Display for FactLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

/// Something about a backend, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// How much it matters.
    pub level: FactLevel,
    /// What it is about, in lower case: `eviction policy`. No two facts of one backend have the same.
    pub name: &'static str,
    /// How it is, with its unit and without secrets.
    pub value: String,
    /// What to change; whatever is no [`FactLevel::Info`] says it.
    pub advice: Option<String>,
}

impl Fact {
    /// The name of the fact that every backend says: what survives once something was confirmed.
    pub const DURABILITY: &'static str = "durability";

    /// Good to know.
    #[must_use]
    pub fn info(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            level: FactLevel::Info,
            name,
            value: value.into(),
            advice: None,
        }
    }

    /// To be changed, or to be known at least.
    #[must_use]
    pub fn warning(
        name: &'static str,
        value: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: FactLevel::Warning,
            advice: Some(advice.into()),
            ..Self::info(name, value)
        }
    }

    /// To be changed at once.
    #[must_use]
    pub fn danger(name: &'static str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            level: FactLevel::Danger,
            ..Self::warning(name, value, advice)
        }
    }

    /// The durability class, with what to change for a better one. A class below D2 is a warning: the end of a
    /// process is to be expected.
    #[must_use]
    pub fn durability(class: Durability, advice: impl Into<String>) -> Self {
        let value = format!("{class}, survives {}", class.survives());
        let advice = advice.into();
        if class < Durability::D2 {
            return Self::warning(Self::DURABILITY, value, advice);
        }
        Self {
            advice: Some(advice).filter(|advice| !advice.is_empty()),
            ..Self::info(Self::DURABILITY, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_of_a_process_loses_is_a_warning() {
        for (class, level) in [
            (Durability::D0, FactLevel::Warning),
            (Durability::D1, FactLevel::Warning),
            (Durability::D2, FactLevel::Info),
            (Durability::D4, FactLevel::Info),
        ] {
            let fact = Fact::durability(class, "change it");
            assert_eq!(fact.level, level);
            assert!(fact.value.starts_with(&format!("{class}, ")), "{fact:?}");
            assert_eq!(fact.advice.as_deref(), Some("change it"));
        }
        assert_eq!(Fact::durability(Durability::D3, "").advice, None);
    }

    #[test]
    fn levels_are_in_the_order_of_what_to_do_first() {
        assert!(FactLevel::Info < FactLevel::Warning && FactLevel::Warning < FactLevel::Danger);
    }
}
