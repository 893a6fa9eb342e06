//! [`Sentinel`]: the servers that say which of several Redis servers is the master now.
//!
//! They are asked before every connection, all at once, and the one that knows of the latest failover counts: one
//! that is cut off from the others knows the old master. What is reached must say itself that it is a master.

use std::fmt;
use std::time::Duration;

use bananas_core::Fact;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{ServerError, Value};

use crate::address::Address;
use crate::connection::{Connection, Dialer, Use};
use crate::error::Error;
use crate::reply;

/// How long the others may take once one of them has answered.
const GRACE: Duration = Duration::from_millis(300);

/// What the sentinels are asked for, and who we are to them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sentinel {
    /// The name under which they watch the master.
    pub master: String,
    /// The user of their own access list; `None` is their default user.
    pub username: Option<String>,
    /// Their own password. Never shown.
    pub password: Option<String>,
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel")
            .field("master", &self.master)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish()
    }
}

/// What a sentinel knows of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// Counts the failovers that a majority of sentinels agreed to.
    epoch: u64,
    address: Address,
}

/// The master's address, in this time.
pub(crate) async fn find(
    dialer: &Dialer,
    sentinel: &Sentinel,
    within: Duration,
) -> Result<Address, Error> {
    let env = &dialer.env;
    let hosts = &dialer.config.hosts;
    let mut until = env.monotonic() + within;
    let asks = hosts.iter().map(|host| ask(dialer, sentinel, host));
    let mut answers: FuturesUnordered<_> = asks.collect();
    let mut latest: Option<Named> = None;
    let mut error = dialer.unreachable(&format!("no sentinel answered within {within:?}"));
    while let Ok(Some(answer)) = env.until(until, answers.next()).await {
        match answer {
            Ok(named) => {
                let newer = latest.as_ref().is_none_or(|old| named.epoch > old.epoch);
                latest = if newer { Some(named) } else { latest };
                until = until.min(env.monotonic() + GRACE);
            }
            Err(e) => error = e,
        }
    }
    latest.map(|named| named.address).ok_or(error)
}

/// What the sentinels say, for people.
pub(crate) async fn fact(dialer: &Dialer, sentinel: &Sentinel) -> Fact {
    let hosts = &dialer.config.hosts;
    let timeout = dialer.config.timeout;
    let asks = hosts.iter().map(async |host| {
        let asked = ask(dialer, sentinel, host);
        let named = dialer.env.within(timeout, asked).await.ok()?.ok()?;
        Some(named.address)
    });
    let named: Vec<_> = futures::future::join_all(asks).await;
    judged(&named)
}

/// By which address each of them names.
fn judged(named: &[Option<Address>]) -> Fact {
    let name = "sentinels";
    let mut places: Vec<_> = named.iter().flatten().map(ToString::to_string).collect();
    let (answered, all) = (places.len(), named.len());
    places.sort();
    places.dedup();
    let value = format!(
        "{answered} of {all} answer, master {}",
        match places.as_slice() {
            [] => "unknown".to_owned(),
            places => places.join(" or "),
        }
    );
    if places.len() > 1 {
        let advice = "they do not agree about the master: wait until a failover is over, or look whether one is \
                      cut off from the others";
        return Fact::warning(name, value, advice);
    }
    if answered < all {
        let advice = "start those that do not answer: without a majority nobody takes the place of a dead master";
        return Fact::warning(name, value, advice);
    }
    if all == 1 {
        let advice = "name the others in the URL, too: without this one the master cannot be found";
        return Fact::warning(name, value, advice);
    }
    Fact::info(name, value)
}

/// Asks one of them.
async fn ask(dialer: &Dialer, sentinel: &Sentinel, host: &Address) -> Result<Named, Error> {
    let own = dialer.to_sentinel(sentinel, host);
    let (connection, driver) = own.reach(host, Use::Asking).await?;
    let questions = ["GET-MASTER-ADDR-BY-NAME", "MASTER"].map(|word| {
        let mut command = redis::cmd("SENTINEL");
        command.arg(word).arg(&sentinel.master);
        command
    });
    let answers = tokio::select! {
        answers = connection.send_all(&questions) => answers,
        () = driver => Err("the sentinel ended the connection".to_owned()),
    };
    let answers = answers.map_err(|why| own.unreachable(&why))?;
    let wrong = || Error::WrongAnswer(own.url.clone());
    let [address, state] = <[Value; 2]>::try_from(answers).map_err(|_| wrong())?;
    match address {
        Value::Nil => return Err(unknown(dialer, &sentinel.master)),
        Value::ServerError(error) => return Err(refused(&own, &error)),
        _ => {}
    }
    let address = reply::list(address).and_then(|parts| {
        let [host, port] = <[Value; 2]>::try_from(parts).ok()?;
        let port = reply::text(port)?.parse().ok()?;
        Some(Address::new(reply::text(host)?, port))
    });
    // One that must not say so counts as the oldest.
    let state = reply::list(state).unwrap_or_default();
    let mut texts = state.into_iter().map(reply::text);
    let epoch = texts
        .find(|text| text.as_deref() == Some("config-epoch"))
        .and_then(|_| texts.next()?);
    Ok(Named {
        epoch: epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
        address: address.ok_or_else(wrong)?,
    })
}

fn refused(dialer: &Dialer, error: &ServerError) -> Error {
    if error.code() != "ERR" {
        return Error::server(&dialer.url, error);
    }
    Error::Refused(format!(
        "{} is no sentinel ({}); name sentinels, whose usual port is {}, or leave out ?sentinel=",
        dialer.url,
        error.details().unwrap_or_default(),
        Address::SENTINEL_PORT,
    ))
}

/// Asks what was reached whether it is a master.
pub(crate) async fn check_role(dialer: &Dialer, connection: &Connection) -> Result<(), Error> {
    let role = connection.send(&redis::cmd("ROLE")).await;
    match role.map_err(|why| dialer.unreachable(&why))? {
        Value::ServerError(error) => Err(Error::server(&dialer.url, &error)),
        answer => {
            let role = reply::list(answer).and_then(|parts| parts.into_iter().next());
            let role = role.and_then(reply::text).unwrap_or_default();
            if role == "master" {
                return Ok(());
            }
            Err(dialer.unreachable(&format!(
                "the sentinels name a server as master that says it is a {role:?}; a failover may be under way"
            )))
        }
    }
}

fn unknown(dialer: &Dialer, master: &str) -> Error {
    Error::Refused(format!(
        "the sentinels of {} watch no master of the name {master:?}; write the one of their `sentinel monitor` line",
        dialer.url
    ))
}

#[cfg(test)]
mod tests {
    use bananas_core::FactLevel;

    use super::*;

    #[test]
    fn what_sentinels_say_is_flagged_unless_all_of_several_agree() {
        let (one, other) = (Some(Address::new("a", 1)), Some(Address::new("b", 2)));
        let of = |named: &[&Option<Address>]| {
            let named: Vec<_> = named.iter().map(|it| (*it).clone()).collect();
            let fact = judged(&named);
            (fact.level, fact.value)
        };
        let (info, warning) = (FactLevel::Info, FactLevel::Warning);
        let agreed = (info, "2 of 2 answer, master a:1".to_owned());
        assert_eq!(of(&[&one, &one]), agreed);
        assert_eq!(of(&[&one]).0, warning);
        assert_eq!(of(&[&one, &one, &None]).0, warning);
        let split = (warning, "2 of 2 answer, master a:1 or b:2".to_owned());
        assert_eq!(of(&[&one, &other]), split);
        let none = (warning, "0 of 1 answer, master unknown".to_owned());
        assert_eq!(of(&[&None]), none);
    }

    #[test]
    fn the_password_of_the_sentinels_is_never_shown() {
        let sentinel = Sentinel {
            master: "main".to_owned(),
            username: None,
            password: Some("hidden".to_owned()),
        };
        let shown = format!("{sentinel:?}");
        assert!(
            shown.contains("***") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}
