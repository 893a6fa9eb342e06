//! What is measured: a backend in one configuration.

use std::path::Path;

use anyhow::Result;
use bananas::config::Config;
use bananas::{App, Track};
use clap::ValueEnum;

/// A backend in one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Memory, broker and store fused.
    Memory,
    /// SQLite, `synchronous = NORMAL`.
    SqliteNormal,
    /// SQLite, `synchronous = FULL`.
    SqliteFull,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::SqliteNormal, Self::SqliteFull];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::SqliteNormal => "sqlite-normal",
            Self::SqliteFull => "sqlite-full",
        }
    }

    pub(crate) fn is_sqlite(self) -> bool {
        self != Self::Memory
    }

    /// What is worth measuring: memory both ways, SQLite with the default.
    pub(crate) fn tracks(self) -> &'static [Track] {
        match self {
            Self::Memory => &[Track::None, Track::Full],
            Self::SqliteNormal | Self::SqliteFull => &[Track::Full],
        }
    }

    pub(crate) fn url(self, folder: &Path) -> String {
        let file = folder.join("bench.db");
        match self {
            Self::Memory => "memory:".to_owned(),
            Self::SqliteNormal => format!("sqlite://{}?synchronous=normal", file.display()),
            Self::SqliteFull => format!("sqlite://{}", file.display()),
        }
    }

    /// A fresh application on an empty backend.
    pub(crate) async fn open(self, folder: &Path, track: Track) -> Result<App> {
        open(&self.url(folder), track).await
    }
}

/// An application on a backend, with all jobs tracked in one way.
pub(crate) async fn open(url: &str, track: Track) -> Result<App> {
    let text = format!(
        "[broker]\nurl = {url:?}\n[worker]\nconcurrency = 1000\n[tasks.noop]\ntrack = \"{track}\"\n"
    );
    let config = Config::read("bench", &text, [])?;
    Ok(App::open(config).await?)
}
