// A signal's handler ends the process, which may be in the middle of an allocation. It ends as it should, with a report or without.
#include "check.h"
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static void ends(int signal) {
    (void)signal;
    exit(0);
}

static void allocates_until(int microseconds) {
    struct sigaction action = {.sa_handler = ends};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval once = {{0, 0}, {0, microseconds}};
    setitimer(ITIMER_REAL, &once, NULL);
    static void *all[1000];
    for (unsigned n = 1;; ) {
        n = n * 1664525u + 1013904223u;
        unsigned i = (n >> 8) % 1000;
        free(all[i]);
        all[i] = malloc((n >> 12) % 8 == 0 ? (n >> 10) % 400000 : (n >> 20) % 9000);
    }
}

int main(void) {
    for (int i = 1; i <= 8; i++) {
        pid_t child = fork();
        if (child == 0) allocates_until(5000 + 337 * i);
        int status = -1;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    return done();
}
