//! Files that are counted and hashed while they are written, and read again to see whether they still are
//! what was written.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

use super::manifest::FileSum;
use super::{BackupError, Say, Word};

/// How much is read at once.
pub(super) const PIECE: usize = 1 << 20;

/// A file on its way to the disk.
pub(super) struct Recorder<'a> {
    path: PathBuf,
    /// The database gives its export line by line.
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    begun: Instant,
    part: &'a str,
    say: Say<'a>,
}

impl<'a> Recorder<'a> {
    /// A new file, which may not be there yet.
    pub async fn create(path: &Path, part: &'a str, say: Say<'a>) -> Result<Self, BackupError> {
        let file = File::create_new(path).await.map_err(BackupError::file(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(PIECE, file),
            hash: Sha256::new(),
            bytes: 0,
            begun: Instant::now(),
            part,
            say,
        })
    }

    pub async fn write(&mut self, piece: &[u8]) -> Result<(), BackupError> {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        let written = self.file.write_all(piece).await;
        written.map_err(BackupError::file(&self.path))?;
        (self.say)(Word {
            part: self.part.to_owned(),
            bytes: self.bytes,
        });
        Ok(())
    }

    /// Everything of another file.
    pub async fn copy(&mut self, from: &Path) -> Result<(), BackupError> {
        let mut file = File::open(from).await.map_err(BackupError::file(from))?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece).await.map_err(BackupError::file(from))?;
            if length == 0 {
                return Ok(());
            }
            self.write(&piece[..length]).await?;
        }
    }

    /// Comes back when what was written so far is on the disk.
    pub async fn on_disk(&mut self) -> Result<PathBuf, BackupError> {
        let on_disk = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        on_disk.await.map_err(BackupError::file(&self.path))?;
        Ok(self.path.clone())
    }

    /// Comes back when all of it is on the disk.
    pub async fn finish(mut self) -> Result<FileSum, BackupError> {
        self.on_disk().await?;
        let name = self.path.file_name().unwrap_or_default();
        Ok(FileSum {
            name: name.to_string_lossy().into_owned(),
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
            milliseconds: self.begun.elapsed().as_millis() as u64,
        })
    }
}

/// Whether a file in a folder is still what was written.
pub(super) async fn check(folder: &Path, sum: &FileSum, say: Say<'_>) -> Result<(), BackupError> {
    let path = folder.join(&sum.name);
    let damaged = |why: String| BackupError::Damaged {
        file: path.clone(),
        why,
    };
    let mut file = File::open(&path).await.map_err(|error| damaged(error.to_string()))?;
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let length = file
            .read(&mut piece)
            .await
            .map_err(|error| damaged(error.to_string()))?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        bytes += length as u64;
        let part = format!("checking {}", sum.name);
        say(Word { part, bytes });
    }
    if bytes != sum.bytes {
        return Err(damaged(format!("{bytes} bytes instead of {}", sum.bytes)));
    }
    if hex(&hash.finalize()) != sum.sha256 {
        return Err(damaged("its SHA-256 is another one".to_owned()));
    }
    Ok(())
}

/// What was written into a folder can be found in it after a power cut.
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(BackupError::file(folder))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
