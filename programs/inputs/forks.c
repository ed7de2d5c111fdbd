// Forks while other threads allocate and free each other's blocks. Children allocate, free what they inherit, and end in
// one way or the other: a child that hangs is killed after ten seconds, and counted.
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;
static atomic_int stop;
static _Atomic(void*) shared[512];

static void* busy(void* number) {
    for (unsigned i = (unsigned)(size_t)number; !stop; i++) {
        size_t size = i % 64 == 0 ? 200000 : i % 2000 + 1;
        char* block = malloc(size);
        block[0] = 1;
        free(atomic_exchange(&shared[i * 2654435761u >> 23], block));
    }
    return NULL;
}

static void* one(void* unused) { free(malloc(100)); return unused; }

int main(int argc, char** argv) {
    int n = argc > 1 ? atoi(argv[1]) : 500, bad = 0;
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, busy, (void*)(i << 20));
    for (int i = 0; i < n; i++) {
        pid_t pid;
        if (i % 8 == 7) {
            char* words[] = {"true", NULL};
            if (posix_spawnp(&pid, "true", NULL, NULL, words, environ)) return 2;
        } else if ((pid = fork()) == 0) {
            alarm(10);
            for (int j = 0; j < 512; j++) free(atomic_exchange(&shared[j], NULL));
            void* blocks[100];
            for (int j = 0; j < 100; j++) memset(blocks[j] = malloc(j * 37 + 1), j, j * 37 + 1);
            for (int j = 0; j < 100; j++) blocks[j] = realloc(blocks[j], j * 91 + 1);
            for (int j = 0; j < 100; j++) free(blocks[j]);
            pthread_t thread;
            if (i % 4 == 1 && pthread_create(&thread, NULL, one, NULL) == 0) pthread_join(thread, NULL);
            if (i % 2) exit(0);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        bad += status != 0;
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    printf("%d children, %d did not end well\n", n, bad);
    return bad != 0;
}
