// A function that is chosen while the loader still joins program and libraries, by one that allocates.
#include "check.h"

static void *early[300];

static int is_chosen(void) { return 1; }

static void *chooses(void) {
    for (int i = 0; i < 300; i++) {
        early[i] = malloc(i * 10);
        free(malloc(i * 100));
    }
    return (void *)is_chosen;
}

int chosen(void) __attribute__((ifunc("chooses")));

int main(void) {
    CHECK(chosen() == 1);
    void *others[300];
    for (int i = 0; i < 300; i++) memset(others[i] = malloc(i * 10), i, i * 10);
    for (int i = 0; i < 300; i++) {
        CHECK(early[i] != NULL && malloc_usable_size(early[i]) >= i * 10);
        memset(early[i], 0, i * 10);
        free(early[i]);
    }
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < i * 10; k++) CHECK(((unsigned char *)others[i])[k] == (unsigned char)i);
        free(others[i]);
    }
    malloc_trim(0);
    return done();
}
