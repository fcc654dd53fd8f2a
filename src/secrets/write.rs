//! Files that others read at any moment: whole or not there.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Makes a file that only its owner may read. One that is there already is never replaced.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft(path, content)?;
    // Unlike a rename, a link fails where there is something.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    linked?;
    settle(path)
}

/// Puts a file in the place of another in one step.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft(path, content)?;
    std::fs::rename(&draft, path)?;
    settle(path)
}

/// Removes a file; one that is gone already is no failure.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => settle(path),
    }
}

/// The content under a name that is not read. A draft that an interrupted run left is written anew.
fn draft(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.new"));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(draft)
}

/// Makes the change of the folder outlast a crash of the machine.
fn settle(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_made_once_replaced_whole_and_removed_once_or_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        // What an interrupted run left is no obstacle.
        std::fs::write(folder.path().join(".key.pem.new"), "half").expect("written");
        create(&path, b"one").expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, b"two").expect_err("refused").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).expect("there"), b"one");
        replace(&path, b"three").expect("replaced");
        assert_eq!(std::fs::read(&path).expect("there"), b"three");
        remove(&path).expect("removed");
        remove(&path).expect("gone already");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0, "no draft is left");
    }
}
