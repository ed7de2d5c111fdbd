// Threads in an address space of 200 MiB: small memory is to be had, too much fails with ENOMEM, and then small memory still is.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* work(void* failures) {
    char* blocks[1000] = {0};
    for (int turn = 0; turn < 20; turn++)
        for (int i = 0; i < 1000; i++) {
            free(blocks[i]);
            size_t size = (i * 131 + turn * 17) % 4000 + 1;
            blocks[i] = malloc(size);
            if (!blocks[i]) { ++*(int*)failures; continue; }
            memset(blocks[i], turn, size);
        }
    for (int i = 0; i < 1000; i++) free(blocks[i]);
    return NULL;
}

int main(void) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    int failures[8] = {0}, sum = 0, started = 0, refused = 0;
    for (int turn = 0; turn < 10; turn++) {
        pthread_t threads[8];
        int n = 0;
        for (; n < 8 && pthread_create(&threads[n], &small, work, &failures[n]) == 0; n++) started++;
        for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
        errno = 0;
        void* much = malloc((size_t)300 << 20);
        refused += !much && errno == ENOMEM;
        void* also = calloc(1 << 20, 300);
        refused += !also;
        void* some = malloc(100), *more = realloc(some, (size_t)300 << 20);
        refused += some && !more;
        free(some);
    }
    for (int i = 0; i < 8; i++) sum += failures[i];
    char* large = malloc((size_t)40 << 20);
    if (large) memset(large, 1, (size_t)40 << 20);
    printf("%d threads, %d failures, %d of 30 refused, 40 MiB %s\n", started, sum, refused, large ? "to be had" : "refused");
    free(large);
}
