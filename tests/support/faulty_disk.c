/* A disk that fails: preloaded before libc, it counts what is written to files below FAULTY_DIR and fails one of it.
 *
 * faulty_arm(what, at, how, stays): the at-th write (what = 'w': write, ftruncate), flush of a file ('f') or of a
 * directory ('d'), or any of these ('a') fails:
 *   how > 0   with this errno            how == 's'   as a short write: half of it is written
 *   'p'       the power is cut: what was written and not flushed is lost, and the process ends
 *   'q'       as 'p', but every second of those writes survives, as a disk that reorders leaves it
 * If it stays, all that follow fail as well (a short write's with ENOSPC: the disk is full).
 * faulty_seen(what): how many there were since the program was armed. Not for programs with threads that write.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct undo { struct undo *before; char path[512]; off_t at, size; size_t length; char *old; };
static struct undo *unflushed;
static long seen[256], fail_at = -1;
static int fail_what, fail_how, fail_stays;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64"), real_write = dlsym(RTLD_NEXT, "write");
    real_fsync = dlsym(RTLD_NEXT, "fsync"), real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
}

void faulty_arm(int what, long at, int how, int stays) {
    fail_what = what, fail_at = at, fail_how = how, fail_stays = stays, memset(seen, 0, sizeof seen);
}

long faulty_seen(int what) { return seen[what]; }

static int watched(int fd, char *path) {
    const char *root = getenv("FAULTY_DIR");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 511);
    path[length < 0 ? 0 : length] = 0;
    return fail_at >= 0 && root && length > 0 && !strncmp(path, root, strlen(root));
}

static void cut_power(int reorders) {
    for (int n = 0; unflushed; unflushed = unflushed->before, n++) {
        struct undo *u = unflushed;
        FILE *file = reorders && n % 2 ? NULL : fopen(u->path, "r+");
        if (!file) continue;
        real_pwrite(fileno(file), u->old, u->length, u->at); /* zeros where there was nothing */
        if (!reorders) real_ftruncate(fileno(file), u->size);
        fclose(file);
    }
    _exit(137);
}

/* Whether this one fails; the errno, 's', or 0. */
static int fails(int what) {
    seen[what]++, seen['a']++;
    if (fail_what != 'a' && fail_what != what) return 0;
    long count = seen[fail_what];
    if (count == fail_at && (fail_how == 'p' || fail_how == 'q')) cut_power(fail_how == 'q');
    if (count == fail_at) return fail_how;
    return fail_stays && count > fail_at ? (fail_how == 's' ? ENOSPC : fail_how) : 0;
}

static void remember(int fd, const char *path, off_t at, size_t length) {
    struct stat is;
    size_t name = strlen(path);
    if (fstat(fd, &is) || (name > 4 && !strcmp(path + name - 4, "-shm"))) return;
    struct undo *u = calloc(1, sizeof *u);
    strcpy(u->path, path);
    u->before = unflushed, u->at = at, u->size = is.st_size, u->length = length, u->old = calloc(1, length + 1);
    if (pread(fd, u->old, length, at) < 0) abort();
    unflushed = u;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) {
    char path[512];
    if (!watched(fd, path)) return real_pwrite(fd, data, length, at);
    int how = fails('w');
    if (how > 0 && how != 's') return errno = how, -1;
    remember(fd, path, at, length);
    return real_pwrite(fd, data, how == 's' ? (length + 1) / 2 : length, at);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

ssize_t write(int fd, const void *data, size_t length) {
    char path[512];
    if (!watched(fd, path)) return real_write(fd, data, length);
    return pwrite64(fd, data, length, lseek(fd, (off_t)length, SEEK_CUR) - (off_t)length);
}

int ftruncate64(int fd, off_t size) {
    char path[512];
    struct stat is;
    if (!watched(fd, path)) return real_ftruncate(fd, size);
    int how = fails('w');
    if (how > 0) return errno = how == 's' ? ENOSPC : how, -1;
    if (!fstat(fd, &is) && is.st_size > size) remember(fd, path, size, (size_t)(is.st_size - size));
    return real_ftruncate(fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int flush(int fd, int (*real)(int)) {
    char path[512];
    if (!watched(fd, path)) return real(fd);
    struct stat is;
    int how = fails(!fstat(fd, &is) && S_ISDIR(is.st_mode) ? 'd' : 'f');
    if (how > 0) return errno = how, -1;
    for (struct undo **u = &unflushed; *u;)
        if (!strcmp((*u)->path, path)) *u = (*u)->before;
        else u = &(*u)->before;
    return real(fd);
}
int fsync(int fd) { return flush(fd, real_fsync); }
int fdatasync(int fd) { return flush(fd, real_fdatasync); }
