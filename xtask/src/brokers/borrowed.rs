//! [`Borrowed`]: a server for the length of the tests.

use std::path::Path;

use anyhow::Result;

use super::place::Place;
use super::record::{Export, Record};
use super::servers::Server;
use super::{compose, down, env_file, is_up, up, wanted};

/// The servers that tests ask for today.
const FOR_TESTS: &[&str] = &[
    "redis",
    "redis-cluster",
    "rabbitmq",
    "nats",
    "nats-old",
    "sqs",
];

/// A server that runs until the tests are over, and longer only when it ran before.
#[derive(Debug)]
pub(crate) struct Borrowed {
    place: Place,
    server: &'static Server,
    exports: Vec<Export>,
    was_there: bool,
}

impl Borrowed {
    /// One server of each kind for all tests: each test is a process of its own and would start another.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for name in FOR_TESTS {
            match Self::find(root, name) {
                Ok(found) => all.extend(found),
                Err(error) => {
                    Self::give_back(all)?;
                    return Err(error);
                }
            }
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
                exports: vec![(server.variable.to_owned(), server.compose_url.to_owned())],
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
                    "xtask: tests that need {name} start their own, are left out, or fail where they must not be"
                );
                return Ok(None);
            }
            env_file::write(&place)?;
            println!(
                "xtask: {name} ends with the tests; after an interruption, `cargo xtask brokers down {name}`"
            );
        }
        let exports = Record::read(&place, name)?.exports;
        Ok(Some(Self {
            place,
            server,
            exports,
            was_there,
        }))
    }

    /// The variables to set, and their values.
    pub(crate) fn variables(all: &[Self]) -> impl Iterator<Item = Export> {
        all.iter().flat_map(|server| server.exports.iter().cloned())
    }

    /// Ends those that were started for this.
    pub(crate) fn give_back(all: Vec<Self>) -> Result<()> {
        for Self { place, server, .. } in all.into_iter().filter(|one| !one.was_there) {
            let _lock = place.lock()?;
            down(&place, &[server])?;
            env_file::write(&place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that needs no program, and has two variables.
    fn server() -> &'static Server {
        let server = Server {
            name: "lent",
            variable: "X",
            compose_url: "",
            start: |start| {
                let mut command = std::process::Command::new("sleep");
                command.arg("600");
                start.spawn(command)?;
                let export = |name: &str| (name.to_owned(), "here".to_owned());
                Ok(vec![export("X"), export("X_ADMIN")])
            },
        };
        Box::leak(Box::new(server))
    }

    #[test]
    fn a_server_is_lent_with_all_its_variables_and_ends_unless_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path());
        let borrow = || Borrowed::private(place.clone(), server()).unwrap().unwrap();
        let first = vec![borrow()];
        let second = vec![borrow()];
        let names: Vec<String> = Borrowed::variables(&first).map(|(name, _)| name).collect();
        assert_eq!(names, ["X", "X_ADMIN"]);

        Borrowed::give_back(second).unwrap();
        assert!(is_up(&place, server()).unwrap(), "it was there before");
        Borrowed::give_back(first).unwrap();
        assert!(!Record::is_there(&place, "lent"));
    }
}
