//! `broker.require_durability`: refuses to start where less is kept than was asked for.

use bananas_core::config::Config;
use bananas_core::{Broker, Durability, Error, ErrorKind, Fact, Result, StateStore};

/// `Conflict` when broker or store is of a weaker class than required, with both classes and what to change.
pub(crate) async fn check(
    config: &Config,
    broker: &dyn Broker,
    store: &dyn StateStore,
) -> Result<()> {
    let Some(required) = &config.broker.require_durability else {
        return Ok(());
    };
    let required: Durability = required.parse()?;
    let info = broker.info();
    if info.capabilities.durability < required {
        let facts = broker.facts().await;
        let found = info.capabilities.durability;
        return Err(refusal(required, ("broker", &info.url), found, facts));
    }
    let info = store.info();
    if info.durability < required {
        let facts = store.facts().await;
        return Err(refusal(
            required,
            ("store", &info.url),
            info.durability,
            facts,
        ));
    }
    Ok(())
}

fn refusal(
    required: Durability,
    (side, url): (&str, &str),
    found: Durability,
    facts: Result<Vec<Fact>>,
) -> Error {
    let mut message = format!(
        "broker.require_durability is {required} (survives {}), but the {side} {url} gives {found} (survives {})",
        required.survives(),
        found.survives()
    );
    // That the backend cannot say it now does not change the answer.
    let told = facts.unwrap_or_default().into_iter();
    let mut told = told.filter(|fact| fact.name == Fact::DURABILITY);
    if let Some(advice) = told.next().and_then(|fact| fact.advice) {
        message.push_str("; ");
        message.push_str(&advice);
    }
    Error::new(ErrorKind::Conflict, message).during("connect")
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use crate::App;
    use bananas_core::ErrorKind;
    use bananas_core::config::Config;

    #[tokio::test]
    async fn what_keeps_less_than_was_asked_for_is_refused_with_what_to_change() {
        let mut config = Config::default();
        "memory:".clone_into(&mut config.broker.url);
        config.broker.require_durability = Some("D0".to_owned());
        App::open(config.clone()).await.unwrap();
        config.broker.require_durability = Some("D1".to_owned());
        let error = App::open(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let text = error.to_string();
        for words in ["D1 (survives the kill of our process", "D0", "sqlite://"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_store_that_keeps_less_is_refused_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.broker.url = format!("sqlite://{}", folder.path().join("jobs.db").display());
        config.store.url = Some("memory:".to_owned());
        config.broker.require_durability = Some("D3".to_owned());
        let text = App::open(config).await.unwrap_err().to_string();
        assert!(text.contains("the store memory:"), "{text}");
    }
}
