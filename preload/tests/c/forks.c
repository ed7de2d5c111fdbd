// Thousands of forks while other threads allocate; and the ways to start a program.
#include "check.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static volatile int over;

static void *churns(void *seed) {
    unsigned n = (unsigned)(uintptr_t)seed;
    void *all[500] = {0};
    while (!over) {
        n = n * 1103515245 + 12345;
        unsigned i = (n >> 8) % 500;
        free(all[i]);
        all[i] = malloc((n >> 4) % 100 == 0 ? 200000 : (n >> 16) % 3000);
        if (all[i] != NULL) *(char *)all[i] = 1;
    }
    for (int i = 0; i < 500; i++) free(all[i]);
    return NULL;
}

// What a child does with the heap that it was born with.
static int child(char *inherited) {
    void *all[300];
    for (int i = 0; i < 300; i++) {
        all[i] = malloc(i * 20);
        if (all[i] == NULL) return 1;
        memset(all[i], i, i * 20);
    }
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < i * 20; k++) {
            if (((unsigned char *)all[i])[k] != (unsigned char)i) return 2;
        }
        free(all[i]);
    }
    free(inherited);
    free(malloc(1 << 20));
    return 0;
}

static void *child_thread(void *inherited) { return (void *)(intptr_t)child(inherited); }

int main(int argc, char **argv) {
    int forks = argc > 1 ? atoi(argv[1]) : 2000;
    alarm(550); // whoever hangs is ended
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, churns, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < forks; i++) {
        char *inherited = malloc(1000);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60);
            if (i % 10 == 0) {
                pthread_t thread;
                void *result;
                if (pthread_create(&thread, NULL, child_thread, inherited) != 0) _exit(3);
                pthread_join(thread, &result);
                _exit((int)(intptr_t)result);
            }
            if (i % 50 == 1) {
                // A child's child.
                pid_t grandchild = fork();
                int status;
                if (grandchild == 0) _exit(child(inherited));
                waitpid(grandchild, &status, 0);
                _exit(WEXITSTATUS(status) | (WIFSIGNALED(status) ? 64 : 0));
            }
            _exit(child(inherited));
        }
        CHECK(pid > 0);
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        free(inherited);
        if (failures > 0) break;
    }
    for (int i = 0; i < 50; i++) {
        int status = 0;
        pid_t pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        char *args[] = {"true", NULL};
        CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, args, environ) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    FILE *pipe = popen("echo 123", "r");
    int number = 0;
    CHECK(pipe != NULL && fscanf(pipe, "%d", &number) == 1 && number == 123);
    pclose(pipe);
    over = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    return done();
}
