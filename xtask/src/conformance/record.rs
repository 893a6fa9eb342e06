//! [`Record`]: what a run of the suite left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use walkdir::WalkDir;

/// What a run of the suite left behind.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The outcome and its reason by backend, side and check.
    pub(crate) outcomes: BTreeMap<(String, String, String), (String, Option<String>)>,
    /// What each backend can do, in order.
    pub(crate) capabilities: BTreeMap<String, Vec<(String, String)>>,
}

/// Where the record of the last run is: beside what Cargo builds.
pub(crate) fn folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .map_or_else(|| root.join("target"), |target| root.join(target))
        .join("conformance")
}

impl Record {
    /// Reads the record in a folder; it is empty where there is none.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut record = Self::default();
        if !folder.exists() {
            return Ok(record);
        }
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry?;
            if entry.file_type().is_file() {
                let path = entry.path();
                record
                    .add(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
            }
        }
        Ok(record)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        if let Value::Array(rows) = &value {
            let backend = path.parent().and_then(Path::file_name);
            let backend = backend.unwrap_or_default().to_string_lossy().into_owned();
            let text = |row: &Value, n: usize| {
                row.get(n)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let rows = rows.iter().map(|row| (text(row, 0), text(row, 1)));
            self.capabilities.insert(backend, rows.collect());
            return Ok(());
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let part = |key: &str| text(key).with_context(|| format!("there is no `{key}`"));
        let key = (part("backend")?, part("side")?, part("check")?);
        self.outcomes
            .insert(key, (part("outcome")?, text("reason")));
        Ok(())
    }

    /// The backends that were asked on a side, ours first.
    pub(crate) fn backends(&self, side: &str) -> Vec<&str> {
        let mut backends: Vec<&str> = Vec::new();
        for (backend, of, _) in self.outcomes.keys() {
            if of == side && !backends.contains(&backend.as_str()) {
                backends.push(backend);
            }
        }
        backends
    }
}
