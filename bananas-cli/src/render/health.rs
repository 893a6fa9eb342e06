//! [`Health`]: what `doctor` found, for people and for programs.

use bananas::{Durability, Fact, FactLevel};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::text::visible;

/// The widths of the columns of levels and names.
const LEVELS: usize = 7;
const NAMES: usize = 22;

/// Everything that was found.
#[derive(Debug)]
pub(crate) struct Health {
    sides: Vec<Side>,
    error: Option<String>,
}

/// A backend.
#[derive(Debug)]
pub(crate) struct Side {
    /// `broker`, `store`, or both.
    pub(crate) name: &'static str,
    /// What it is; nothing when it could not be opened.
    pub(crate) backend: Option<&'static str>,
    /// Its version, where it tells.
    pub(crate) version: Option<String>,
    /// Where it is, without secrets.
    pub(crate) url: String,
    /// What survives; nothing when it could not be opened.
    pub(crate) durability: Option<Durability>,
    /// What it says about itself.
    pub(crate) facts: Vec<Fact>,
}

impl Side {
    /// A backend that was not opened, for this reason.
    pub(crate) fn without(name: &'static str, url: String, why: Fact) -> Self {
        Self {
            name,
            backend: None,
            version: None,
            url,
            durability: None,
            facts: vec![why],
        }
    }

    fn title(&self) -> String {
        let backend = self.backend.map(|backend| format!(": {backend}"));
        let version = self.version.as_ref().map(|version| format!(" {version}"));
        let place = match visible(&self.url) {
            url if url.is_empty() => url,
            url => format!(" at {url}"),
        };
        let (backend, version) = (backend.unwrap_or_default(), version.unwrap_or_default());
        format!("{}{backend}{version}{place}", self.name)
    }
}

impl Health {
    /// That of these backends.
    pub(crate) fn of(sides: Vec<Side>) -> Self {
        Self { sides, error: None }
    }

    /// There was nothing to look at, for this reason.
    pub(crate) fn failed(error: String) -> Self {
        Self {
            sides: Vec::new(),
            error: Some(error),
        }
    }

    /// The worst there is.
    pub(crate) fn level(&self) -> FactLevel {
        if self.error.is_some() {
            return FactLevel::Danger;
        }
        let levels = self.facts().map(|fact| fact.level);
        levels.max().unwrap_or(FactLevel::Info)
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.sides.iter().flat_map(|side| &side.facts)
    }

    /// A paragraph for each backend, and the verdict.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for side in &self.sides {
            text.push_str(&side.title());
            text.push('\n');
            for fact in &side.facts {
                let value = visible(&fact.value);
                text.push_str(&format!(
                    "  {:LEVELS$}  {:NAMES$} {value}\n",
                    fact.level, fact.name
                ));
                if let Some(advice) = fact.advice.as_ref().filter(|_| is_amiss(fact)) {
                    text.push_str(&format!("  {:LEVELS$}  {:NAMES$} → {advice}\n", "", ""));
                }
            }
            text.push('\n');
        }
        text.push_str(&self.verdict());
        text
    }

    fn verdict(&self) -> String {
        let count = |level| self.facts().filter(|fact| fact.level == level).count();
        let (dangers, warnings) = (count(FactLevel::Danger), count(FactLevel::Warning));
        let plural = |number, one: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        match (dangers, warnings) {
            (0, 0) => "all is well".to_owned(),
            (0, _) => plural(warnings, "warning"),
            (_, 0) => plural(dangers, "danger"),
            _ => format!(
                "{}, {}",
                plural(dangers, "danger"),
                plural(warnings, "warning")
            ),
        }
    }
}

fn is_amiss(fact: &Fact) -> bool {
    fact.level > FactLevel::Info
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", &self.level().to_string())?;
        if let Some(error) = &self.error {
            map.serialize_entry("error", error)?;
        }
        map.serialize_entry("backends", &self.sides)?;
        map.end()
    }
}

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.name)?;
        map.serialize_entry("opened", &self.backend.is_some())?;
        map.serialize_entry("backend", &self.backend)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("url", &self.url)?;
        let class = self.durability.map(|class| class.to_string());
        map.serialize_entry("durability", &class)?;
        let survives = self.durability.map(Durability::survives);
        map.serialize_entry("survives", &survives)?;
        let facts: Vec<FactView<'_>> = self.facts.iter().map(FactView::of).collect();
        map.serialize_entry("facts", &facts)?;
        map.end()
    }
}

#[derive(Serialize)]
struct FactView<'a> {
    level: String,
    name: &'a str,
    value: &'a str,
    advice: Option<&'a str>,
}

impl<'a> FactView<'a> {
    fn of(fact: &'a Fact) -> Self {
        Self {
            level: fact.level.to_string(),
            name: fact.name,
            value: &fact.value,
            advice: fact.advice.as_deref(),
        }
    }
}
