// Loads and unloads a library while threads allocate.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int stop;

static void* busy(void* unused) {
    void* slots[256] = {0};
    for (unsigned i = 1; !stop; i++) {
        unsigned at = i * 2654435761u >> 24;
        free(slots[at]);
        slots[at] = malloc(i % 3000 + 1);
        memset(slots[at], 1, i % 3000 + 1);
    }
    for (int i = 0; i < 256; i++) free(slots[i]);
    return unused;
}

int main(int argc, char** argv) {
    int n = argc > 2 ? atoi(argv[2]) : 100;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, busy, NULL);
    unsigned long sum = 0;
    char* kept[64] = {0};
    for (int i = 0; i < n; i++) {
        void* library = dlopen(argv[1], RTLD_NOW);
        if (!library) { puts(dlerror()); return 1; }
        char* (*make)(size_t) = (char* (*)(size_t))dlsym(library, "make");
        free(kept[i % 64]);
        kept[i % 64] = make(i % 500 + 1);
        sum += (unsigned char)kept[i % 64][i % 500];
        ((void (*)(void))dlsym(library, "done"))();
        dlclose(library);
    }
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 64; i++) free(kept[i]);
    printf("%lu\n", sum);
}
