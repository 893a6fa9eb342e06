//! Checks of the place before the file is opened: a directory that is there, on a disk of this machine.
//!
//! SQLite's write-ahead log is shared memory between processes of one machine; over a network it corrupts
//! silently (<https://www.sqlite.org/wal.html>, "all processes must be on the same host computer").

use std::path::{Path, PathBuf};

use bananas_core::{Error, ErrorKind, Result};

/// The file with its directory resolved, so that one file has one name; refuses what cannot work.
pub(crate) fn check(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        let message = format!("{path:?} names no file; an example is bananas.db");
        Error::new(ErrorKind::InvalidArgument, message)
    })?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = directory.canonicalize().map_err(|e| {
        let message = format!(
            "directory {directory:?} of database file {name:?} cannot be used; create it first"
        );
        Error::new(ErrorKind::NotFound, message).because(e)
    })?;
    let mut file = directory.join(name);
    if file.is_dir() {
        let message = format!("{file:?} is a directory; name a file in it");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    // A link to the file would otherwise give one database two names and two logs.
    if let Ok(real) = file.canonicalize() {
        file = real;
    }
    refuse_network(&file, file.parent().unwrap_or(&directory))?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn refuse_network(file: &Path, directory: &Path) -> Result<()> {
    // If the system does not say, SQLite's own checks at opening are all there is.
    let Ok(stat) = rustix::fs::statfs(directory) else {
        return Ok(());
    };
    // The field is signed or not, 32 or 64 bits wide; the magic numbers have 32 bits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low 32 bits count"
    )]
    let magic = stat.f_type as u32;
    match network_name(magic) {
        Some(name) => {
            let message = format!(
                "{file:?} lies on a network file system ({name}), where SQLite's locks do not work; \
                 use a local disk, or a broker with a server"
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_file: &Path, _directory: &Path) -> Result<()> {
    Ok(())
}

/// Numbers from Linux's `magic.h` and statfs(2).
#[cfg(target_os = "linux")]
fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1997 => "9p",
        0x00c3_6400 => "ceph",
        0x0bd0_0bd0 => "lustre",
        0x6573_5546 => "fuse",
        0x5346_414f => "afs",
        0x6b41_4653 => "kafs",
        0x564c => "ncp",
        0x7375_7245 => "coda",
        0x0116_1970 => "gfs2",
        0x7461_636f => "ocfs2",
        0x4750_4653 => "gpfs",
        0x2030_0528 => "orangefs",
        0x7863_6673 => "vmhgfs",
        0x786f_4256 => "vboxsf",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_named() {
        let error = check(Path::new("/no/such/place/jobs.db")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("\"/no/such/place\""), "{error}");
    }

    #[test]
    fn a_directory_is_no_file() {
        let place = tempfile::tempdir().unwrap();
        let error = check(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_link_and_its_target_are_one_file() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("real.db");
        std::fs::write(&real, b"").unwrap();
        std::os::unix::fs::symlink(&real, place.path().join("link.db")).unwrap();
        assert_eq!(
            check(&place.path().join("link.db")).unwrap(),
            check(&real).unwrap()
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not() {
        assert_eq!(network_name(0x6969), Some("nfs"));
        assert_eq!(network_name(0xff53_4d42), Some("cifs"));
        let (ext4, tmpfs, btrfs, xfs, overlay) =
            (0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630);
        for local in [ext4, tmpfs, btrfs, xfs, overlay] {
            assert_eq!(network_name(local), None);
        }
    }
}
