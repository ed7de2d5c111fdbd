// A signal's handler forks, in a program with one thread that allocates all the time: it may have interrupted the allocator.
#include "check.h"
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile int forks;

static void forks_too(int signal) {
    (void)signal;
    pid_t child = fork();
    if (child == 0) _exit(0);
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    forks++;
}

int main(void) {
    struct sigaction action = {.sa_handler = forks_too, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 701}, {0, 701}};
    setitimer(ITIMER_REAL, &often, NULL);
    static void *all[3000];
    unsigned n = 1;
    while (forks < 500) {
        n = n * 1664525u + 1013904223u;
        unsigned i = (n >> 8) % 3000;
        free(all[i]);
        all[i] = malloc((n >> 12) % 60 == 0 ? (n >> 10) % 400000 : (n >> 20) % 9000);
    }
    return done();
}
