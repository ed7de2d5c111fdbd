// Blocks that one thread allocates, others resize and free.
#include "check.h"

enum { THREADS = 8, SLOTS = 4096, ROUNDS = 30000 };
static void *slots[SLOTS];

typedef struct {
    size_t size;
    unsigned char with;
} Head;

static void check_and_free(Head *h) {
    if (h == NULL) return;
    unsigned char *bytes = (unsigned char *)(h + 1);
    for (size_t i = 0; i < h->size; i += 1 + h->size / 16) CHECK(bytes[i] == h->with);
    free(h);
}

static Head *make(size_t size, unsigned char with) {
    Head *h = with % 3 ? malloc(sizeof *h + size) : aligned_alloc(64, sizeof *h + size);
    CHECK(h != NULL && (uintptr_t)h % 16 == 0);
    h->size = size;
    h->with = with;
    memset(h + 1, with, size);
    return h;
}

static void *works(void *seed) {
    unsigned long n = (uintptr_t)seed;
    for (int i = 0; i < ROUNDS; i++) {
        n = n * 6364136223846793005ul + 1442695040888963407ul;
        unsigned at = (n >> 33) % SLOTS;
        size_t size = (n >> 20) % 1000 == 0 ? (n >> 40) % 300000 : (n >> 45) % 600;
        Head *h = __atomic_exchange_n(&slots[at], NULL, __ATOMIC_ACQ_REL);
        if (h != NULL && n % 5 == 0) {
            size_t was = h->size;
            h = realloc(h, sizeof *h + was + size);
            h->size = was + size;
            memset((unsigned char *)(h + 1) + was, h->with, size);
        } else {
            check_and_free(h);
            h = make(size, n >> 56);
        }
        check_and_free(__atomic_exchange_n(&slots[at], h, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

int main(void) {
    for (int round = 0; round < 3; round++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, works, (void *)(uintptr_t)(round * 100 + i + 1));
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        if (round == 1) malloc_trim(0);
    }
    for (int i = 0; i < SLOTS; i++) check_and_free(slots[i]);
    return done();
}
