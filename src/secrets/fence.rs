//! Folders that a path must not lead out of (F-15): the kernel holds each look at a file in them to that.
//!
//! A team's files are below a folder of its own, whose content the team may write. A link there that leads to another team's
//! secrets is as good as naming those, and it may come later than any check of the configuration. So the folder is known
//! here, where every file is opened.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

static FENCED: RwLock<BTreeSet<PathBuf>> = RwLock::new(BTreeSet::new());

/// From now on no path below `folder` leads out of it, whatever links are on the way.
pub fn fence(folder: &Path) {
    FENCED.write().insert(folder.to_owned());
}

/// A path below a fenced folder.
pub(super) struct Fenced {
    folder: OwnedFd,
    rest: PathBuf,
}

/// The path, where it is below a fenced folder.
pub(super) fn of(path: &Path) -> io::Result<Option<Fenced>> {
    let fenced = FENCED.read();
    let Some((folder, rest)) = fenced.iter().find_map(|folder| Some((folder, path.strip_prefix(folder).ok()?))) else {
        return Ok(None);
    };
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Some(Fenced { folder, rest: rest.to_owned() }))
}

impl Fenced {
    /// The file to look at: nothing happens to it.
    pub(super) fn look(&self) -> io::Result<File> {
        self.opened(OFlags::PATH)
    }

    /// The file to read, without waiting.
    pub(super) fn open(&self) -> io::Result<File> {
        self.opened(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn opened(&self, flags: OFlags) -> io::Result<File> {
        // F-15: links that lead out
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.folder, &self.rest, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use crate::secrets::read_secret;

    /// F-15: links within the folder are followed, as mounted secrets need it, and none that leads out of it.
    #[test]
    fn no_link_leads_out_of_a_fenced_folder() {
        let all = tempfile::tempdir().expect("a folder");
        let (own, other) = (all.path().join("shop"), all.path().join("news"));
        for folder in [&own, &other, &own.join("..data")] {
            std::fs::create_dir(folder).expect("made");
        }
        std::fs::write(other.join("key"), "secret of others").expect("written");
        std::fs::write(own.join("..data/key"), "own secret").expect("written");
        symlink("..data/key", own.join("key")).expect("linked");
        symlink("../news/key", own.join("relative")).expect("linked");
        symlink(other.join("key"), own.join("absolute")).expect("linked");
        symlink("../news", own.join("folder")).expect("linked");
        super::fence(&own);
        assert_eq!(read_secret(&own.join("key")).expect("readable").expose(), b"own secret");
        for name in ["relative", "absolute", "folder/key", "../news/key"] {
            assert!(read_secret(&own.join(name)).is_err(), "{name}");
        }
        assert!(read_secret(&other.join("key")).is_ok(), "no fence there");
    }
}
