//! What the server is and how well it keeps what it confirmed.

use bananas_core::Durability;
use redis::Value;

use crate::config::Eviction;
use crate::error::Error;
use crate::link::Wire;
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

/// Asks the server, and refuses one that would lose jobs or cannot do what is needed.
pub(crate) async fn look(wire: &Wire, eviction: Eviction) -> Result<ServerFacts, Error> {
    let url = wire.dialer.url.as_str();
    let mut version = None;
    // Who may not ask gets the benefit of the doubt about the version, and none about durability.
    if let Some(text) = info(wire, "server").await? {
        version = field(&text, "redis_version").map(str::to_owned);
        check_version(url, &text)?;
        check_mode(url, &text)?;
    }
    let appendonly = setting(wire, "appendonly").await?;
    let appendfsync = setting(wire, "appendfsync").await?;
    if let Some(policy) = setting(wire, "maxmemory-policy").await?
        && policy != "noeviction"
        && eviction == Eviction::Refused
    {
        return Err(Error::Refused(format!(
            "{url} has maxmemory-policy {policy}, so it may evict jobs when its memory is full; \
             set it to noeviction, or accept the loss with ?eviction=accepted in the URL"
        )));
    }
    Ok(ServerFacts {
        durability: durability(appendonly.as_deref(), appendfsync.as_deref()),
        version,
    })
}

/// What survives, as far as the server's settings say.
fn durability(appendonly: Option<&str>, appendfsync: Option<&str>) -> Durability {
    match (appendonly, appendfsync) {
        (Some("yes"), Some("always")) => Durability::D3,
        (Some("yes"), Some(_)) => Durability::D2,
        _ => Durability::D1,
    }
}

fn check_mode(url: &str, info: &str) -> Result<(), Error> {
    if field(info, "redis_mode") == Some("cluster") {
        return Err(Error::Refused(format!(
            "{url} is a node of a cluster, which Bananas cannot use yet; name a single server"
        )));
    }
    Ok(())
}

fn check_version(url: &str, info: &str) -> Result<(), Error> {
    let Some(version) = field(info, "redis_version") else {
        return Ok(());
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    if let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < OLDEST
    {
        return Err(Error::Refused(format!(
            "{url} is redis {version}; Bananas needs {}.{} or newer",
            OLDEST.0, OLDEST.1
        )));
    }
    Ok(())
}

/// A section of what the server says about itself, or `everything`; `None` if we may not ask.
pub(crate) async fn info(wire: &Wire, section: &str) -> Result<Option<String>, Error> {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    Ok(allowed(wire.command(&command).await)?.and_then(reply::text))
}

/// A field of such a text.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).map(str::trim)
}

/// One setting; `None` if we may not ask or the server has none.
pub(crate) async fn setting(wire: &Wire, name: &str) -> Result<Option<String>, Error> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let Some(answer) = allowed(wire.command(&command).await)? else {
        return Ok(None);
    };
    let mut pair = reply::list(answer).unwrap_or_default().into_iter();
    Ok(pair.nth(1).and_then(reply::text))
}

/// That a command is forbidden or unknown, as on servers that somebody else runs, is no error here.
fn allowed(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
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
    fn a_node_of_a_cluster_is_refused() {
        assert!(check_mode("redis://h", "redis_mode:standalone\r\n").is_ok());
        let error = check_mode("redis://h", "redis_mode:cluster\r\n").unwrap_err();
        assert!(error.to_string().contains("cluster"), "{error}");
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_with_both_versions() {
        let check = |version| {
            check_version(
                "redis://h",
                &format!("# Server\r\nredis_version:{version}\r\n"),
            )
        };
        assert!(check("6.2.0").is_ok() && check("7.0.15").is_ok() && check("10.0.1").is_ok());
        let error = check("6.0.16").unwrap_err().to_string();
        assert!(error.contains("6.0.16") && error.contains("6.2"), "{error}");
    }
}
