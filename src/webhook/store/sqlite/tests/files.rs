//! The files of the store: who may open them, what is in them, how large they are, and what happens where they are damaged.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// W-27: one server; its files and its folder are for it alone.
#[tokio::test]
async fn a_second_server_is_refused() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    assert!(queue.mistake().starts_with("queue.dir: another sidemint has"), "{}", queue.mistake());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&queue.path()), 0o700);
    for file in std::fs::read_dir(queue.path()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    store.close().await;
    queue.open().unwrap();
}

/// A queue in memory is told as such, so that it is no surprise when it is gone.
#[tokio::test]
async fn a_file_system_in_memory_is_told() {
    let queue = Queue { folder: tempfile::tempdir_in("/dev/shm").unwrap(), ..Queue::new() };
    let store = queue.open().unwrap();
    assert!(
        matches!(store.durability(), Durability::Doubtful(why) if why.contains("tmpfs")),
        "{:?}",
        store.durability()
    );
}

/// W-19: a file that is damaged, or no queue, is neither used nor lost.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_or_moved_aside() {
    let mut queue = Queue::new();
    {
        let store = queue.open().unwrap();
        for number in 0..200 {
            keep(&store, event(&format!("{number} {}", "x".repeat(900)))).await.unwrap();
        }
        store.close().await;
    }
    let good = std::fs::read(queue.file()).unwrap();
    let mut torn = good.clone();
    torn[8192..20_000].fill(0xa5);
    let foreign = {
        let path = queue.folder.path().join("foreign");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE other (a)").unwrap();
        drop(connection);
        std::fs::read(path).unwrap()
    };
    for bad in [torn, b"this is no database, but it is long enough to be looked at for one".to_vec(), foreign] {
        std::fs::write(queue.file(), &bad).unwrap();
        let told = queue.mistake();
        assert!(told.contains("queue.db cannot be used") && told.contains("start_empty = true"), "{told}");
        assert!(std::fs::read(queue.file()).unwrap() == bad, "it is as it was");
    }
    queue.start_empty = true;
    let store = queue.open().unwrap();
    assert_eq!(store.figures().events, 0);
    assert_eq!(keep(&store, event("new")).await, Ok(Kept::New));
    assert!(queue.path().join("queue.db.unusable-1800000000").is_file());
    store.close().await;
    // A good file is never moved.
    assert_eq!(queue.open().unwrap().figures().events, 1);
}

/// A folder that cannot be written is told before anything is served, and nothing is kept in memory instead.
#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let mut queue = Queue::new();
    std::fs::write(queue.path(), "a file").unwrap();
    assert!(queue.mistake().contains("cannot be written"), "{}", queue.mistake());
    queue.folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere", queue.folder.path().join("elsewhere")).unwrap();
    std::fs::create_dir(queue.path()).unwrap();
    std::os::unix::fs::symlink(queue.folder.path().join("elsewhere"), queue.file()).unwrap();
    assert!(queue.mistake().contains("cannot be written"), "{}", queue.mistake());
}

/// With a key nothing that a user wrote stands in the files, and without it they cannot be used.
#[tokio::test]
async fn bodies_and_headers_are_encrypted_where_there_is_a_key() {
    let mut queue = Queue { key: Some(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), ..Queue::new() };
    {
        let store = queue.open().unwrap();
        keep(&store, event("CANARYbody")).await.unwrap();
        for file in std::fs::read_dir(queue.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for word in ["CANARYbody", "message.created", "application/json"] {
                assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
            }
        }
        store.close().await;
    }
    let seq = queue.operator().list(&Filter::default()).unwrap()[0].seq;
    assert_eq!(queue.operator().show(seq).unwrap().unwrap().body, b"CANARYbody");
    queue.key = None;
    assert!(queue.mistake().starts_with("queue.key_file: is missing"), "{}", queue.mistake());
    assert!(matches!(queue.operator().show(seq), Err(OpenError::Mistake(_))));
    queue.key = Some(b"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=");
    assert!(queue.mistake().starts_with("queue.key_file: holds another key"), "{}", queue.mistake());
    queue.key = Some(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let store = queue.open().unwrap();
    let taken = due(&store).await;
    assert_eq!(bodies(&taken), ["CANARYbody"]);
    store.settle(taken[0].seq, Settled::Delivered);
    store.close().await;
    // Nothing encrypted is left, so the key may go.
    queue.key = None;
    queue.open().unwrap();
}

/// The log is emptied while the store works, and space of delivered events is given back.
#[tokio::test]
async fn the_files_stay_small() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    let size = |end: &str| std::fs::metadata(format!("{}{end}", queue.file().display())).map_or(0, |file| file.len());
    let body = "x".repeat(150_000);
    for number in 0..200 {
        keep(&store, event(&format!("{number} {body}"))).await.unwrap();
        assert!(size("-wal") < 22 * 1024 * 1024, "{}", size("-wal"));
    }
    assert!(size("") > 15_000_000, "{}", size(""));
    for taken in due(&store).await.into_iter().chain(due(&store).await) {
        store.settle(taken.seq, Settled::Delivered);
    }
    assert_eq!(store.standing("chat").pending, 0);
    eventually(|| size("") < 6_000_000).await;
    store.close().await;
    assert_eq!(size("-wal"), 0);
}

/// The bundled SQLite is newer than the fault of its log that two connections can meet (3.7.0 to 3.51.2).
#[test]
fn the_bundled_sqlite_is_new_enough() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}
