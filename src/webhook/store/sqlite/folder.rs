//! The folder of the queue: made, locked and looked at before anything is opened in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::webhook::store::listing::OpenError;

/// The file of the queue.
const FILE: &str = "queue.db";
/// Who has it open.
const LOCK: &str = "queue.lock";

/// A folder that exists and may be written.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Keeps a second server out; the lock ends with the process, however it ends.
    _lock: Option<File>,
}

/// Whether what is written in a folder is still there after a crash of the machine, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is.
    Durable,
    /// It is not, or it may not be.
    Doubtful(&'static str),
}

impl Folder {
    /// Makes the folder where there is none, with mode 0700, and locks it for a server.
    pub(super) fn of_server(path: &Path) -> Result<Self, OpenError> {
        let refuse = |error: &io::Error| {
            let problem = format!("{} cannot be written ({error})", path.display());
            match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full(problem),
                _ => OpenError::mistake(
                    "queue.dir",
                    format!("{problem}; give a folder that sidemint may write, on a disk"),
                ),
            }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refuse(&error))?;
        let path = path.canonicalize().map_err(|error| refuse(&error))?;
        let lock = own(&path.join(LOCK)).map_err(|error| refuse(&error))?;
        // W-27: second server
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::mistake(
                    "queue.dir",
                    format!("another sidemint has {} open; give each its own folder", path.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(refuse(&error)),
        }
        let folder = Self { path, _lock: Some(lock) };
        own(&folder.file()).and_then(|file| file.sync_all()).map_err(|error| refuse(&error))?;
        // The entries of the files are on disk as well.
        File::open(&folder.path).and_then(|folder| folder.sync_all()).map_err(|error| refuse(&error))?;
        Ok(folder)
    }

    /// The folder of a queue that is there, whether a server has it open or not.
    pub(super) fn of_operator(path: &Path) -> Result<Self, OpenError> {
        let missing = || OpenError::mistake("queue.dir", format!("{} holds no queue", path.display()));
        let folder = Self { path: path.canonicalize().map_err(|_| missing())?, _lock: None };
        if folder.file().is_file() { Ok(folder) } else { Err(missing()) }
    }

    /// The file of the queue.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Moves a file that cannot be used aside, under a name with `label`, and says where it is now.
    pub(super) fn set_aside(&self, label: &str) -> io::Result<PathBuf> {
        let aside = self.path.join(format!("{FILE}.{label}"));
        std::fs::rename(self.file(), &aside)?;
        for end in ["-wal", "-shm"] {
            let name = |file: &Path| PathBuf::from(format!("{}{end}", file.display()));
            match std::fs::rename(name(&self.file()), name(&aside)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        own(&self.file())?.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        Ok(aside)
    }
}

impl Durability {
    /// Whether the file system of a folder keeps what it was given.
    pub(super) fn of(folder: &Path) -> Self {
        // Magic numbers of Linux: include/uapi/linux/magic.h, and fs/*/super.c for those that are not there.
        match rustix::fs::statfs(folder).map(|found| found.f_type) {
            Ok(0x0102_1994 | 0x8584_58f6) => {
                Self::Doubtful("it is in memory (tmpfs), and ends with the machine or the pod")
            }
            Ok(0x794c_7630) => Self::Doubtful("it is a container's own layer (overlay), and ends with the container"),
            Ok(0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x0102_1997 | 0x00c3_6400 | 0x6573_5546 | 0x7375_7245) => {
                Self::Doubtful("it is on a network file system, which may lie about locks and flushes")
            }
            _ => Self::Durable,
        }
    }
}

/// Opens a file for us alone, and makes it where there is none. A link that another process planted is not followed.
fn own(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}
