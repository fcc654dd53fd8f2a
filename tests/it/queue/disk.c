/* A disk that fails or forgets, between a process and its files: preloaded into the process under test.
 *
 * DISK_FAULT=CALL:NUMBER:WHAT   the NUMBER-th CALL (write, sync, truncate) on a file of the queue goes wrong: WHAT is
 *                               eio, enospc, torn (half of it is written, then the process dies) or kill (it dies before).
 * DISK_FULL=FILE                while this file exists, nothing is written: there is no room.
 * DISK_LOG=FILE                 every write, truncation and flush of those files is written there, for a model of what a
 *                               disk keeps when the power fails.
 *
 * A flush is counted and does nothing else: what was written survives the end of its process without one, and a test that
 * waited for the disk of the machine would take minutes on a busy one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum call { WRITE, SYNC, TRUNCATE };
static const char *const NAMES[] = {"write", "sync", "truncate"};
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long seen[3];
static int log_fd = -2;

#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t raw_pwrite(int fd, const void *bytes, size_t length, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return real(fd, bytes, length, at);
}

static ssize_t raw_write(int fd, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return real(fd, bytes, length);
}

/* The end of the name of a file of the queue: 0 the file, 1 its log, 2 the list of what was acknowledged, 3 the index of the
 * log, which need not be on disk. */
static int kind(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return -1;
  path[length] = 0;
  const char *name = strrchr(path, '/');
  if (!name) return -1;
  if (!strcmp(name, "/queue.db")) return 0;
  if (!strcmp(name, "/queue.db-wal")) return 1;
  if (!strcmp(name, "/acknowledged")) return 2;
  if (!strcmp(name, "/queue.db-shm")) return 3;
  return -1;
}

/* One record: what, which file, where, how much, and the bytes. */
static void record(enum call call, int file, uint64_t at, uint64_t length, const void *bytes) {
  if (log_fd == -2) {
    const char *path = getenv("DISK_LOG");
    log_fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  }
  if (log_fd < 0) return;
  unsigned char head[18] = {(unsigned char)call, (unsigned char)file};
  memcpy(head + 2, &at, 8);
  memcpy(head + 10, &length, 8);
  if (raw_write(log_fd, head, sizeof head) != (ssize_t)sizeof head) abort();
  if (call == WRITE && raw_write(log_fd, bytes, length) != (ssize_t)length) abort();
}

/* What is to go wrong now: 0 is nothing. */
enum fault { NONE, EIO_, ENOSPC_, TORN, KILL };
static enum fault fault(enum call call) {
  const char *wanted = getenv("DISK_FAULT");
  if (!wanted) return NONE;
  char name[16], what[16];
  long number;
  if (sscanf(wanted, "%15[^:]:%ld:%15s", name, &number, what) != 3 || strcmp(name, NAMES[call])) return NONE;
  if (++seen[call] != number) return NONE;
  return !strcmp(what, "eio") ? EIO_ : !strcmp(what, "enospc") ? ENOSPC_ : !strcmp(what, "torn") ? TORN : KILL;
}

static void die(void) { kill(getpid(), SIGKILL); }

static int is_full(int file) {
  const char *full = getenv("DISK_FULL");
  return full && file != 2 && access(full, F_OK) == 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  int file = kind(fd);
  if (file >= 0 && is_full(file)) {
    errno = ENOSPC;
    return -1;
  }
  if (file < 0 || file == 3) return raw_pwrite(fd, bytes, length, at);
  pthread_mutex_lock(&turn);
  ssize_t done = -1;
  switch (file < 2 ? fault(WRITE) : NONE) {
    case EIO_: errno = EIO; break;
    case ENOSPC_: errno = ENOSPC; break;
    case TORN: raw_pwrite(fd, bytes, length / 2, at); die(); break;
    case KILL: die(); break;
    default:
      done = raw_pwrite(fd, bytes, length, at);
      if (done > 0) record(WRITE, file, (uint64_t)at, (uint64_t)done, bytes);
  }
  pthread_mutex_unlock(&turn);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return pwrite(fd, bytes, length, at); }

ssize_t write(int fd, const void *bytes, size_t length) {
  if (kind(fd) != 2) return raw_write(fd, bytes, length);
  pthread_mutex_lock(&turn);
  ssize_t done = raw_write(fd, bytes, length);
  if (done > 0) record(WRITE, 2, 0, (uint64_t)done, bytes);
  pthread_mutex_unlock(&turn);
  return done;
}

static int flush(int fd, const char *name) {
  int file = kind(fd);
  if (file < 0 || file == 3) return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
  pthread_mutex_lock(&turn);
  int failed = -1;
  switch (fault(SYNC)) {
    case NONE:
      failed = 0;
      record(SYNC, file, 0, 0, NULL);
      break;
    case KILL: case TORN: die(); break;
    default: errno = EIO;
  }
  pthread_mutex_unlock(&turn);
  return failed;
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

int ftruncate(int fd, off_t length) {
  REAL(int, "ftruncate", int, off_t);
  int file = kind(fd);
  if (file < 0 || file == 3) return real(fd, length);
  pthread_mutex_lock(&turn);
  int failed = -1;
  switch (fault(TRUNCATE)) {
    case NONE:
      failed = real(fd, length);
      if (!failed) record(TRUNCATE, file, (uint64_t)length, 0, NULL);
      break;
    case KILL: case TORN: die(); break;
    case ENOSPC_: errno = ENOSPC; break;
    default: errno = EIO;
  }
  pthread_mutex_unlock(&turn);
  return failed;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }
