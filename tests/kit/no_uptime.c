/* Hides the clock that all processes of a machine share from the program that it is preloaded into. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

int open64(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (!next)
        next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if (!strcmp(path, "/proc/uptime")) {
        errno = ENOENT;
        return -1;
    }
    return next(path, flags, mode);
}
