// Threads that allocate until there is no more, under a limit on address space that is there from the start.
#include "check.h"

static void *takes_all(void *result) {
    void *first = NULL;
    size_t got = 0, n = 64;
    for (int misses = 0; misses < 40; n = n < 300000 ? n * 2 : 64) {
        errno = 0;
        void **p = misses % 2 ? calloc(1, n) : malloc(n);
        if (p == NULL) {
            CHECK(errno == ENOMEM);
            misses++;
            continue;
        }
        p[0] = first;
        first = p;
        got += n;
    }
    while (first != NULL) {
        void *next = *(void **)first;
        free(first);
        first = next;
    }
    *(size_t *)result = got;
    return NULL;
}

int main(void) {
    for (int round = 0; round < 5; round++) {
        pthread_t threads[6];
        size_t got[6] = {0}, sum = 0;
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 << 10);
        for (int i = 0; i < 6; i++) CHECK(pthread_create(&threads[i], &small, takes_all, &got[i]) == 0);
        for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < 6; i++) sum += got[i];
        // Each had something, and together they had most of it.
        printf("round %d: %zu MiB\n", round, sum >> 20);
        CHECK(sum > (64u << 20));
    }
    void *p = malloc(1 << 20);
    CHECK(p != NULL);
    free(p);
    malloc_trim(0);
    p = malloc(20 << 20);
    CHECK(p != NULL);
    free(p);
    return done();
}
