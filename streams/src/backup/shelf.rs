//! The folder in which backups lie, each in a folder of its own that is called after the time it was begun.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::manifest::Manifest;
use super::{BackupError, files};

/// Held while a backup is being taken, so that one that was not finished is known to be nobody's.
pub struct Shelf {
    folder: PathBuf,
    _lock: File,
}

impl Shelf {
    /// Makes the folder if need be, and keeps others out.
    ///
    /// # Errors
    /// When it cannot be written, or another backup is being taken into it.
    pub fn open(folder: &Path) -> Result<Self, BackupError> {
        private(folder)?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(BackupError::file(&path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(BackupError::Busy(folder.to_path_buf()));
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// A new folder for a backup that is begun now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn place(&self, now: Timestamp) -> Result<PathBuf, BackupError> {
        let place = self.folder.join(name(now));
        DirBuilder::new()
            .mode(0o700)
            .create(&place)
            .map_err(BackupError::file(&place))?;
        files::sync(&self.folder)?;
        Ok(place)
    }

    /// Takes away all but the newest so many whole backups, and what was not finished. Says what went.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn keep(&self, count: usize) -> Result<Vec<PathBuf>, BackupError> {
        let entries = std::fs::read_dir(&self.folder).map_err(BackupError::file(&self.folder))?;
        let places = entries.flatten().map(|entry| entry.path());
        let mut places: Vec<PathBuf> = places.filter(|path| path.is_dir() && is_ours(path)).collect();
        // By name is by time.
        places.sort_unstable_by(|one, other| other.cmp(one));
        let (mut whole, mut gone) = (0, Vec::new());
        for place in places {
            if Manifest::read(&place).is_ok() && whole < count {
                whole += 1;
                continue;
            }
            std::fs::remove_dir_all(&place).map_err(BackupError::file(&place))?;
            gone.push(place);
        }
        files::sync(&self.folder)?;
        Ok(gone)
    }
}

/// A folder that nobody else can look into: what people wrote lies there.
pub(super) fn private(folder: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(BackupError::file(folder))
}

/// `20261121T134500.123Z`: in the order of time, and a good name for a file anywhere.
fn name(time: Timestamp) -> String {
    let whole = time.strftime("%Y%m%dT%H%M%S");
    format!("{whole}.{:03}Z", time.subsec_millisecond())
}

/// Whether a folder is called as backups are: others are left alone.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_like = |(nth, c): (usize, char)| match nth {
        8 => c == 'T',
        15 => c == '.',
        19 => c == 'Z',
        _ => c.is_ascii_digit(),
    };
    name.chars().count() == 20 && name.chars().enumerate().all(is_like)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::{FORMAT, FileSum};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_007 + second * 1000).expect("a time")
    }

    fn finish(place: &Path) {
        let file = FileSum {
            name: "database.surql".to_owned(),
            bytes: 0,
            sha256: String::new(),
            milliseconds: 0,
        };
        let manifest = Manifest {
            format: FORMAT,
            name: String::new(),
            maru: String::new(),
            nats_server: String::new(),
            begun: at(0),
            ended: at(0),
            database: file,
            apart: Vec::new(),
            streams: Vec::new(),
        };
        manifest.write(place).expect("a manifest");
    }

    #[test]
    fn the_newest_whole_ones_stay_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("of-somebody-else")).expect("a folder");
        let shelf = Shelf::open(folder.path()).expect("a shelf");
        let places: Vec<PathBuf> = (0..5).map(|nth| shelf.place(at(nth)).expect("a place")).collect();
        // The third was not finished, nor the last.
        for nth in [0, 1, 3] {
            finish(&places[nth]);
        }
        let gone = shelf.keep(2).expect("kept");
        assert_eq!(gone, [places[4].clone(), places[2].clone(), places[0].clone()]);
        assert!(places[1].exists() && places[3].exists());
        assert!(folder.path().join("of-somebody-else").exists());
    }

    #[test]
    fn one_backup_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::open(folder.path()).expect("a shelf");
        assert!(matches!(Shelf::open(folder.path()), Err(BackupError::Busy(_))));
        drop(shelf);
        assert!(Shelf::open(folder.path()).is_ok());
    }

    #[test]
    fn a_backup_is_called_after_its_time() {
        assert_eq!(name(at(0)), "20231114T221320.007Z");
        assert!(is_ours(Path::new("/backups/20231114T221320.007Z")));
        assert!(!is_ours(Path::new("/backups/20231114")));
    }
}
