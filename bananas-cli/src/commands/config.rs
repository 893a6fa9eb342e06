//! `bananas config`.

use std::path::PathBuf;
use std::process::ExitCode;

use bananas::App;
use bananas::amqp::AmqpConfig;
use bananas::config::{Config, redact};
use bananas::nats::NatsConfig;
use bananas::redis::RedisConfig;
use bananas::sqlite::SqliteConfig;
use bananas::sqs::SqsConfig;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::Globals;
use crate::exit::{USAGE, usage};
use crate::output::Output;
use crate::settings::Settings;

const STORE: &str = "store.url";

/// What the help of `config` shows.
pub(crate) const EXAMPLES: &str = "\
Examples:
  bananas config check
  bananas config check deploy/bananas.toml";

/// The subcommands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration and say what is in force, without secrets. Connects to nothing.
    #[command(after_help = "Examples:
  bananas config check
  bananas config check deploy/bananas.toml && systemctl restart bananas-worker
  bananas config check --json | jq .config.worker.concurrency

Ends with 2, and the place of the mistake, when the configuration is wrong.")]
    Check(CheckArgs),
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The file; without it the one that other commands would read.
    path: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct CheckView {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    variables: Vec<String>,
    /// What is put around the broker, and why.
    wrappers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
}

/// Runs a subcommand.
pub(crate) fn run(
    command: ConfigCommand,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check(args) = command;
    let mut globals = globals.clone();
    if let Some(path) = args.path {
        globals.config = Some(path);
    }
    match check(&globals) {
        Ok(settings) => print(settings, output),
        Err(error) if output.is_json() => {
            let error = Some(format!("{error:#}"));
            output.json(&CheckView {
                ok: false,
                error,
                file: globals.config.map(|path| path.display().to_string()),
                variables: Vec::new(),
                wrappers: Vec::new(),
                config: None,
            })?;
            Ok(ExitCode::from(USAGE))
        }
        Err(error) => Err(error),
    }
}

fn check(globals: &Globals) -> anyhow::Result<Settings> {
    let settings = Settings::read(globals)?;
    let config = &settings.config;
    check_url("broker.url", &config.broker.url)?;
    if let Some(url) = &config.store.url {
        check_url(STORE, url)?;
    }
    Ok(settings)
}

/// Whether a backend of this program would take the URL.
fn check_url(key: &str, url: &str) -> anyhow::Result<()> {
    match url.split(':').next() {
        Some("memory") => Ok(()),
        Some("sqlite") => readable(key, SqliteConfig::from_url(url)),
        Some("redis" | "rediss") => readable(key, RedisConfig::from_url(url)),
        Some("amqp" | "amqps") => readable(key, AmqpConfig::from_url(url)),
        Some("nats" | "tls+nats") => readable(key, NatsConfig::from_url(url)),
        Some("sqs") if key == STORE => Err(usage(format!(
            "{key} is {:?}, and SQS records no jobs; write sqlite://PATH, redis://HOST or memory:",
            redact(url)
        ))),
        Some("sqs") => readable(key, SqsConfig::from_url(url)),
        _ => Err(usage(format!(
            "{key} is {:?}, which no backend of this program knows; write sqlite://PATH, \
             redis://HOST, amqp://HOST, nats://HOST, sqs://REGION or memory:",
            redact(url)
        ))),
    }
}

fn readable<T>(key: &str, read: Result<T, bananas::Error>) -> anyhow::Result<()> {
    match read {
        Ok(_) => Ok(()),
        Err(e) => Err(usage(format!("{key}: {e}"))),
    }
}

fn print(settings: Settings, output: &Output) -> anyhow::Result<ExitCode> {
    let Settings {
        config,
        file,
        variables,
    } = settings;
    let wrappers = App::wrappers(&config)?;
    let config = without_secrets(config);
    let file = file.map(|path| path.display().to_string());
    if output.is_json() {
        let config = Some(config);
        output.json(&CheckView {
            ok: true,
            error: None,
            file,
            variables,
            wrappers,
            config,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = file.unwrap_or_else(|| "no file, so defaults".to_owned());
    output.line(format_args!("# In force, from {file}{}", over(&variables)))?;
    for wrapper in wrappers {
        output.line(format_args!("# {wrapper}"))?;
    }
    output.line(toml::to_string(&config)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn over(variables: &[String]) -> String {
    if variables.is_empty() {
        String::new()
    } else {
        format!(" and {}", variables.join(", "))
    }
}

/// Hides passwords in URLs, and the variables given to commands: those are where tokens are put.
fn without_secrets(mut config: Config) -> Config {
    config.broker.url = shown(&config.broker.url);
    config.store.url = config.store.url.as_deref().map(shown);
    for exec in config
        .tasks
        .values_mut()
        .filter_map(|task| task.exec.as_mut())
    {
        for value in exec.env.values_mut() {
            "***".clone_into(value);
        }
    }
    config
}

/// The query of an SQLite URL holds settings, no secrets.
fn shown(url: &str) -> String {
    if url.starts_with("sqlite:") {
        url.to_owned()
    } else {
        redact(url)
    }
}
