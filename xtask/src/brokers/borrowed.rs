//! [`Borrowed`]: a server for the length of the tests.

use std::path::Path;

use anyhow::Result;

use super::place::Place;
use super::record::Record;
use super::servers::Server;
use super::{compose, down, env_file, is_up, up, wanted};

/// The servers that tests ask for today.
const FOR_TESTS: [&str; 1] = ["redis"];

/// A server that runs until the tests are over, and longer only when it ran before.
#[derive(Debug)]
pub(crate) struct Borrowed {
    place: Place,
    server: &'static Server,
    url: String,
    was_there: bool,
}

impl Borrowed {
    /// One server of each kind for all tests: each test is a process of its own and would start another.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for name in FOR_TESTS {
            all.extend(Self::find(root, name)?);
        }
        Ok(all)
    }

    /// The server of this name, started unless it runs.
    ///
    /// `None` when its variable is set already, or its program is not installed: then the tests say themselves
    /// what they leave out. Docker is not started for this, for it may download images; a container that
    /// `brokers up` has started is used.
    fn find(root: &Path, name: &str) -> Result<Option<Self>> {
        let [server] = wanted(&[name.to_owned()])?[..] else {
            return Ok(None);
        };
        if std::env::var_os(server.variable).is_some() {
            return Ok(None);
        }
        let place = Place::of(root);
        let _lock = place.lock()?;
        if compose::runs(root, &place, name)? {
            return Ok(Some(Self {
                place,
                server,
                url: server.compose_url.to_owned(),
                was_there: true,
            }));
        }
        Self::private(place, server)
    }

    fn private(place: Place, server: &'static Server) -> Result<Option<Self>> {
        let name = server.name;
        let was_there = is_up(&place, server)?;
        if !was_there {
            if !up(&place, &[server])? {
                println!(
                    "xtask: tests that need {name} are left out, or fail where they must not be"
                );
                return Ok(None);
            }
            env_file::write(&place)?;
            println!(
                "xtask: {name} ends with the tests; after an interruption, `cargo xtask brokers down {name}`"
            );
        }
        let exports = Record::read(&place, name)?.exports;
        let url = exports.into_iter().find(|(n, _)| n == server.variable);
        Ok(url.map(|(_, url)| Self {
            place,
            server,
            url,
            was_there,
        }))
    }

    /// The variable to set, and its value.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        (self.server.variable, self.url.clone())
    }

    /// Ends the server if it was started for this.
    pub(crate) fn give_back(self) -> Result<()> {
        if !self.was_there {
            let _lock = self.place.lock()?;
            down(&self.place, &[self.server])?;
            env_file::write(&self.place)?;
        }
        Ok(())
    }
}
