/* Shifts the wall clock of the program that it is preloaded into by so many seconds as CLOCK_SHIFT says. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *shift = getenv("CLOCK_SHIFT");
    if (!failed && shift && clock == CLOCK_REALTIME)
        now->tv_sec += atoll(shift);
    return failed;
}
