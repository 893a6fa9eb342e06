//! `BANANAS_*` variables over the file.

use super::{Config, duration};
use crate::{Error, ErrorKind, Result};

/// The variables that count, with what each sets.
const KNOWN: [&str; 10] = [
    "BANANAS_BROKER_URL",
    "BANANAS_BROKER_NAMESPACE",
    "BANANAS_BROKER_REQUIRE_DURABILITY",
    "BANANAS_STORE_URL",
    "BANANAS_WORKER_CONCURRENCY",
    "BANANAS_WORKER_BLOCKING_THREADS",
    "BANANAS_WORKER_SHUTDOWN_GRACE",
    "BANANAS_WORKER_LEASE",
    "BANANAS_WORKER_KEEP_FINISHED",
    "BANANAS_WORKER_KEEP_DEAD",
];

/// Sections whose variables we watch for misspellings; other `BANANAS_` variables may belong to others.
const SECTIONS: [&str; 3] = ["BANANAS_BROKER_", "BANANAS_STORE_", "BANANAS_WORKER_"];

pub(super) fn apply(
    config: &mut Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    for (name, value) in environment {
        if SECTIONS.iter().any(|section| name.starts_with(section)) {
            set(config, &name, value)?;
        }
    }
    Ok(())
}

fn set(config: &mut Config, name: &str, value: String) -> Result<()> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidArgument, format!("{name}: {why}"));
    let number = |value: &str| {
        value
            .parse::<usize>()
            .map_err(|_| invalid(format!("{value:?} is not a whole number")))
    };
    let time = |value: &str| duration::parse(value).map_err(invalid);
    match name {
        "BANANAS_BROKER_URL" => config.broker.url = value,
        "BANANAS_BROKER_NAMESPACE" => config.broker.namespace = value,
        "BANANAS_BROKER_REQUIRE_DURABILITY" => config.broker.require_durability = Some(value),
        "BANANAS_STORE_URL" => config.store.url = Some(value),
        "BANANAS_WORKER_CONCURRENCY" => config.worker.concurrency = number(&value)?,
        "BANANAS_WORKER_BLOCKING_THREADS" => config.worker.blocking_threads = number(&value)?,
        "BANANAS_WORKER_SHUTDOWN_GRACE" => config.worker.shutdown_grace = time(&value)?,
        "BANANAS_WORKER_LEASE" => config.worker.lease = time(&value)?,
        "BANANAS_WORKER_KEEP_FINISHED" => config.worker.keep_finished = time(&value)?,
        "BANANAS_WORKER_KEEP_DEAD" => config.worker.keep_dead = time(&value)?,
        _ => {
            let near = KNOWN
                .iter()
                .min_by_key(|known| strsim::damerau_levenshtein(known, name));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Err(invalid(format!("this variable is unknown{near}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Config> {
        let text = "[worker]\nconcurrency = 5\n";
        Config::read("bananas.toml", text, [(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        assert_eq!(
            read("BANANAS_WORKER_CONCURRENCY", "7")
                .unwrap()
                .worker
                .concurrency,
            7
        );
        assert_eq!(
            read("BANANAS_SOMETHING_ELSE", "7")
                .unwrap()
                .worker
                .concurrency,
            5
        );
    }

    #[test]
    fn every_known_variable_is_taken() {
        for name in KNOWN {
            let value = match name {
                "BANANAS_BROKER_REQUIRE_DURABILITY" => "D1",
                _ if name.ends_with("CONCURRENCY") || name.ends_with("THREADS") => "3",
                _ if name.starts_with("BANANAS_WORKER") => "3s",
                _ => "memory:",
            };
            assert_ne!(
                read(name, value).unwrap(),
                read("OTHER", "").unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_misspelt_variable_is_an_error_with_the_nearest_name() {
        let error = read("BANANAS_WORKER_CONCURENCY", "7")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("did you mean BANANAS_WORKER_CONCURRENCY?"),
            "{error}"
        );
    }
}
