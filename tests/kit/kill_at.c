/* Ends the program that it is preloaded into, as SIGKILL does, at the n-th point of interest (KILL_AT=n): before each
 * write to disk is made durable (on both sides of a rename), and before each Git that moves a ref, here or elsewhere.
 * What lies between two of these changes nothing that lasts. Programs that it starts are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int left = -1;

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("KILL_AT");
    left = at ? atoi(at) : -1;
    unsetenv("LD_PRELOAD");
    unsetenv("KILL_AT");
}

static void point(void) {
    if (left > 0 && __sync_sub_and_fetch(&left, 1) == 0)
        kill(getpid(), SIGKILL);
}

int fsync(int file) {
    static int (*next)(int);
    if (!next)
        next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    point();
    return next(file);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                 char *const argv[], char *const envp[]) {
    static int (*next)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                       char *const[], char *const[]);
    if (!next)
        next = (int (*)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                        char *const[], char *const[]))dlsym(RTLD_NEXT, "posix_spawnp");
    for (char *const *arg = argv; *arg; arg++)
        if (!strcmp(*arg, "update-ref") || !strcmp(*arg, "push") || !strcmp(*arg, "fetch"))
            point();
    return next(pid, file, actions, attr, argv, envp);
}
