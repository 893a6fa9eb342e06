//! What decides about what the file keeps: its place, its disk and its settings.

use std::path::Path;

use bananas_core::{Durability, Fact, Result};
use rusqlite::Connection;

use crate::engine::{Pace, Shared};
use crate::error::Error;
use crate::schema;

/// Below so much room, in hundredths of the disk, it is time to make some.
const SCARCE: u64 = 5;

/// The facts of the file behind an engine, the same for both its sides.
pub(crate) async fn of(shared: &Shared) -> Result<Vec<Fact>> {
    let class = shared.store_info.durability;
    let file = shared.file().to_owned();
    shared
        .read(Pace::Quick, move |connection| {
            let mut facts = vec![durability(class), path(&file)];
            let directory = file.parent().unwrap_or(&file);
            facts.extend(file_system(directory));
            facts.extend(free_disk(directory));
            facts.extend(settings(connection, class)?);
            Ok(facts)
        })
        .await
}

fn durability(class: Durability) -> Fact {
    let advice = match class {
        Durability::D2 => {
            "leave ?synchronous=normal out of the URL, and the loss of power is survived, too (D3)"
        }
        _ => "a file is lost with its disk; only a server with replicas survives that (D4)",
    };
    Fact::durability(class, advice)
}

fn path(file: &Path) -> Fact {
    Fact::info("file", file.display().to_string())
}

fn settings(connection: &Connection, class: Durability) -> std::result::Result<Vec<Fact>, Error> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // Each connection has a setting of its own; this one only reads.
    let synchronous = match class {
        Durability::D2 => "normal",
        _ => "full",
    };
    Ok(vec![
        Fact::info("sqlite version", rusqlite::version()),
        Fact::info("journal mode", mode),
        Fact::info("synchronous", synchronous),
        Fact::info(
            "schema version",
            format!("{version} of {}", schema::STEPS.len()),
        ),
    ])
}

fn free_disk(directory: &Path) -> Option<Fact> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(room(bytes(stat.f_bavail), bytes(stat.f_blocks)))
}

/// How much of a disk is free.
fn room(free: u64, all: u64) -> Fact {
    let hundredths = free.saturating_mul(100).checked_div(all).unwrap_or(0);
    let value = format!("{} of {} ({hundredths} %)", size(free), size(all));
    let name = "free disk";
    if hundredths < SCARCE {
        let advice = "make room: on a full disk no job is accepted, and none can end";
        return Fact::warning(name, value, advice);
    }
    Fact::info(name, value)
}

/// Bytes as people write them.
fn size(bytes: u64) -> String {
    let mebibytes = bytes / (1 << 20);
    if mebibytes < 10 * 1024 {
        return format!("{mebibytes} MiB");
    }
    format!("{} GiB", mebibytes / 1024)
}

#[cfg(target_os = "linux")]
fn file_system(directory: &Path) -> Option<Fact> {
    let stat = rustix::fs::statfs(directory).ok()?;
    // The field is signed or not, 32 or 64 bits wide; the magic numbers have 32 bits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low 32 bits count"
    )]
    let magic = stat.f_type as u32;
    Some(named(magic))
}

/// Numbers from Linux's `magic.h`. Those of a network are refused when the file is opened.
#[cfg(target_os = "linux")]
fn named(magic: u32) -> Fact {
    let name = "file system";
    match magic {
        0x0102_1994 | 0x8584_58f6 => Fact::warning(
            name,
            "in memory (tmpfs)",
            "put the file on a disk: what is here is gone when the machine or container ends",
        ),
        0x794c_7630 => Fact::warning(
            name,
            "overlay",
            "in a container, put the file on a volume: the layer of a container is gone with it",
        ),
        0xef53 => Fact::info(name, "ext4"),
        0x5846_5342 => Fact::info(name, "xfs"),
        0x9123_683e => Fact::info(name, "btrfs"),
        0x2fc1_2fc1 => Fact::info(name, "zfs"),
        0xf2f5_2010 => Fact::info(name, "f2fs"),
        _ => Fact::info(name, format!("local, of type {magic:#x}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_directory: &Path) -> Option<Fact> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bananas_core::{Env, FactLevel, TokioEnv};

    use super::*;
    use crate::{SqliteConfig, SqliteEngine, Synchronous};

    #[tokio::test]
    async fn both_sides_say_where_the_file_is_and_what_it_survives() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig {
            path: folder.path().join("jobs.db"),
            synchronous: Synchronous::Normal,
            ..SqliteConfig::default()
        };
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let engine = SqliteEngine::open(config, env).await.unwrap();
        let facts = engine.store().facts().await.unwrap();
        let find = |name| facts.iter().find(|fact| fact.name == name).unwrap();
        let class = find(Fact::DURABILITY);
        assert_eq!(class.level, FactLevel::Info);
        assert!(class.value.starts_with("D2"), "{class:?}");
        let advice = class.advice.as_deref().unwrap();
        assert!(advice.contains("synchronous=normal"), "{advice}");
        assert!(find("file").value.ends_with("jobs.db"));
        assert_eq!(find("journal mode").value, "wal");
        assert_eq!(find("synchronous").value, "normal");
        let newest = schema::STEPS.len();
        assert_eq!(
            find("schema version").value,
            format!("{newest} of {newest}")
        );
        assert!(find("free disk").value.contains('%'));
        let names = |facts: &[Fact]| facts.iter().map(|fact| fact.name).collect::<Vec<_>>();
        let of_broker = engine.broker().facts().await.unwrap();
        assert_eq!(names(&of_broker), names(&facts));
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_a_warning() {
        let gib = 1 << 30;
        let fact = room(5 * gib, 100 * gib);
        assert_eq!(
            (fact.level, fact.value.as_str()),
            (FactLevel::Info, "5120 MiB of 100 GiB (5 %)")
        );
        let fact = room(4 * gib, 100 * gib);
        assert_eq!(fact.level, FactLevel::Warning);
        assert!(fact.advice.unwrap().contains("make room"));
        assert_eq!(room(0, 0).level, FactLevel::Warning);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_does_not_outlive_the_machine_or_container_is_a_warning() {
        assert_eq!(named(0xef53).level, FactLevel::Info);
        assert_eq!(named(0x0102_1994).level, FactLevel::Warning);
        assert_eq!(named(0x794c_7630).level, FactLevel::Warning);
        assert!(named(0x1234_5678).value.contains("0x12345678"));
    }
}
