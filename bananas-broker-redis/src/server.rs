//! What the server is and how well it keeps what it confirmed.

use bananas_core::{Durability, Tick};
use redis::{Cmd, Value};

use crate::config::Eviction;
use crate::error::Error;
use crate::link::{Asking, Wire};
use crate::question::Question;
use crate::reply;

/// The oldest version that has all the commands in use.
const OLDEST: (u32, u32) = (6, 2);

/// What the server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    pub(crate) durability: Durability,
    /// Its version, if it tells.
    pub(crate) version: Option<String>,
}

/// What the server said at the first contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) mode: Mode,
    /// Its version, if it tells.
    pub(crate) version: Option<String>,
}

/// How the server stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It stands alone, as far as one knows.
    Alone,
    /// It is a node of a cluster.
    Cluster,
}

/// Asks what kind of server it is, and refuses one that is too old.
pub(crate) async fn greet(wire: &Wire, until: Tick) -> Result<Greeting, Error> {
    // Every user may say this. A proxy may not know it, and gets the benefit of the doubt.
    let Some(answer) = ask(wire, &redis::cmd("HELLO"), until).await? else {
        return Ok(Greeting {
            mode: Mode::Alone,
            version: None,
        });
    };
    let said = reply::list(answer).unwrap_or_default();
    let fact = |name: &str| {
        let pair = said.chunks(2).find(|pair| match pair {
            [Value::BulkString(key), _] => key == name.as_bytes(),
            _ => false,
        });
        pair.and_then(|pair| reply::text(pair.last()?.clone()))
    };
    let version = fact("version");
    if let Some(version) = &version {
        check_version(wire.url(), version)?;
    }
    let mode = match fact("mode").as_deref() {
        Some("cluster") => Mode::Cluster,
        _ => Mode::Alone,
    };
    Ok(Greeting { mode, version })
}

/// Asks how the server keeps its data, and refuses one that may throw jobs away.
pub(crate) async fn look(
    wire: &Wire,
    eviction: Eviction,
    until: Tick,
) -> Result<Durability, Error> {
    let appendonly = setting(wire, "appendonly", until).await?;
    let appendfsync = setting(wire, "appendfsync", until).await?;
    if let Some(policy) = setting(wire, "maxmemory-policy", until).await?
        && policy != "noeviction"
        && eviction == Eviction::Refused
    {
        return Err(Error::Refused(format!(
            "{} has maxmemory-policy {policy}, so it may evict jobs when its memory is full; \
             set it to noeviction, or accept the loss with ?eviction=accepted in the URL",
            wire.url()
        )));
    }
    Ok(durability(appendonly.as_deref(), appendfsync.as_deref()))
}

/// What survives, as far as the server's settings say.
fn durability(appendonly: Option<&str>, appendfsync: Option<&str>) -> Durability {
    match (appendonly, appendfsync) {
        (Some("yes"), Some("always")) => Durability::D3,
        (Some("yes"), Some(_)) => Durability::D2,
        _ => Durability::D1,
    }
}

fn check_version(url: &str, version: &str) -> Result<(), Error> {
    if is_older(version, OLDEST) {
        return Err(Error::Refused(format!(
            "{url} is redis {version}; Bananas needs {}.{} or newer",
            OLDEST.0, OLDEST.1
        )));
    }
    Ok(())
}

/// Whether a version is older than another; of one that cannot be read it is not known.
pub(crate) fn is_older(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(Some(major)), Some(Some(minor))) => (major, minor) < than,
        _ => false,
    }
}

/// A section of what the server says about itself, or `everything`; `None` if we may not ask.
pub(crate) async fn info(wire: &Wire, section: &str, until: Tick) -> Result<Option<String>, Error> {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    Ok(ask(wire, &command, until).await?.and_then(reply::text))
}

/// A field of such a text.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).map(str::trim)
}

/// One setting; `None` if we may not ask or the server has none.
pub(crate) async fn setting(wire: &Wire, name: &str, until: Tick) -> Result<Option<String>, Error> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let Some(answer) = ask(wire, &command, until).await? else {
        return Ok(None);
    };
    let mut pair = reply::list(answer).unwrap_or_default().into_iter();
    Ok(pair.nth(1).and_then(reply::text))
}

/// That a command is forbidden or unknown, as on servers that somebody else runs, is no error here.
async fn ask(wire: &Wire, command: &Cmd, until: Tick) -> Result<Option<Value>, Error> {
    let line = wire.line(until).await?;
    let question = Question::Command(command);
    match wire.answer(&line, question, Asking::No, until).await {
        Ok((value, _)) => Ok(Some(value)),
        Err(Error::Server { code, .. }) if matches!(code.as_str(), "NOPERM" | "ERR") => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_the_weakest_that_the_settings_prove() {
        for (appendonly, appendfsync, class) in [
            (Some("yes"), Some("always"), Durability::D3),
            (Some("yes"), Some("everysec"), Durability::D2),
            (Some("yes"), Some("no"), Durability::D2),
            (Some("no"), Some("always"), Durability::D1),
            (Some("yes"), None, Durability::D1),
            (None, None, Durability::D1),
        ] {
            assert_eq!(durability(appendonly, appendfsync), class);
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_with_both_versions() {
        let check = |version| check_version("redis://h", version);
        assert!(check("6.2.0").is_ok() && check("7.0.15").is_ok() && check("10.0.1").is_ok());
        let error = check("6.0.16").unwrap_err().to_string();
        assert!(error.contains("6.0.16") && error.contains("6.2"), "{error}");
    }
}
