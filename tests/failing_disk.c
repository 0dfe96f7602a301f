/* A disk that fails, is slow, or is watched: preloaded into every process of a command.

   DISK_PATHS   pattern of the paths it is about (fnmatch: * takes / too, and @(a|b) one of several)
   DISK_CALLS   names of calls, between commas: open write fsync rename unlink mkdir
   DISK_ERRNO   the number of the error that they end with; 0: they do what they should
   DISK_DELAY   milliseconds that each takes longer
   DISK_LOG     a file that gets a line a call: its name and its path
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int number(const char *name) {
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

static int named(const char *call) {
    const char *calls = getenv("DISK_CALLS");
    size_t length = strlen(call);
    while (calls && *calls) {
        size_t next = strcspn(calls, ",");
        if (next == length && !strncmp(calls, call, length)) return 1;
        calls += next + (calls[next] == ',');
    }
    return 0;
}

static void noted(const char *call, const char *path) {
    const char *log = getenv("DISK_LOG");
    if (!log) return;
    char line[PATH_MAX + 32];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    long file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

/* Whether a call has to fail; errno is set then. */
static int fails(const char *call, const char *path) {
    const char *pattern = getenv("DISK_PATHS");
    int before = errno;
    if (!pattern || !named(call) || fnmatch(pattern, path, FNM_EXTMATCH)) {
        errno = before;
        return 0;
    }
    noted(call, path);
    int delay = number("DISK_DELAY");
    struct timespec pause = {delay / 1000, delay % 1000 * 1000000L};
    if (delay) nanosleep(&pause, NULL);
    errno = before;
    if (!number("DISK_ERRNO")) return 0;
    errno = number("DISK_ERRNO");
    return 1;
}

static int fails_at(const char *call, int folder, const char *path) {
    char whole[PATH_MAX], place[64];
    if (path[0] == '/') return fails(call, path);
    if (folder == AT_FDCWD) snprintf(place, sizeof place, "/proc/self/cwd");
    else snprintf(place, sizeof place, "/proc/self/fd/%d", folder);
    int before = errno;
    ssize_t length = readlink(place, whole, sizeof whole - 1);
    errno = before;
    if (length < 0 || (size_t)length + strlen(path) + 2 > sizeof whole) return 0;
    whole[length] = '/';
    strcpy(whole + length + 1, path);
    return fails(call, whole);
}

static int fails_in(const char *call, int file) {
    char path[PATH_MAX], place[64];
    if (!getenv("DISK_PATHS") || !named(call)) return 0;
    snprintf(place, sizeof place, "/proc/self/fd/%d", file);
    int before = errno;
    ssize_t length = readlink(place, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITES (O_WRONLY | O_RDWR | O_CREAT)
#define MODE                                                                                       \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                      \
    va_end(rest);

int open(const char *path, int flags, ...) {
    MODE
    return flags & WRITES && fails_at("open", AT_FDCWD, path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE
    return flags & WRITES && fails_at("open", AT_FDCWD, path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE
    if (flags & WRITES && fails_at("open", folder, path)) return -1;
    return REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE
    if (flags & WRITES && fails_at("open", folder, path)) return -1;
    return REAL(openat64)(folder, path, flags, mode);
}
FILE *fopen(const char *path, const char *how) {
    return strpbrk(how, "wa+") && fails_at("open", AT_FDCWD, path) ? NULL : REAL(fopen)(path, how);
}
FILE *fopen64(const char *path, const char *how) {
    return strpbrk(how, "wa+") && fails_at("open", AT_FDCWD, path) ? NULL
                                                                   : REAL(fopen64)(path, how);
}
ssize_t write(int file, const void *from, size_t count) {
    return fails_in("write", file) ? -1 : REAL(write)(file, from, count);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_in("write", file) ? -1 : REAL(writev)(file, parts, count);
}
ssize_t pwrite(int file, const void *from, size_t count, off_t at) {
    return fails_in("write", file) ? -1 : REAL(pwrite)(file, from, count, at);
}
ssize_t pwrite64(int file, const void *from, size_t count, off64_t at) {
    return fails_in("write", file) ? -1 : REAL(pwrite64)(file, from, count, at);
}
size_t fwrite(const void *from, size_t size, size_t count, FILE *file) {
    return fails_in("write", fileno(file)) ? 0 : REAL(fwrite)(from, size, count, file);
}
int fsync(int file) { return fails_in("fsync", file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_in("fsync", file) ? -1 : REAL(fdatasync)(file); }
int rename(const char *from, const char *to) {
    return fails_at("rename", AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int old, const char *from, int folder, const char *to) {
    return fails_at("rename", folder, to) ? -1 : REAL(renameat)(old, from, folder, to);
}
int unlink(const char *path) {
    return fails_at("unlink", AT_FDCWD, path) ? -1 : REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    return fails_at("unlink", folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    return fails_at("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
