// A library that allocates when it is loaded, and when it is unloaded.
#include "check.h"

static char *kept;

__attribute__((constructor)) static void begins(void) {
    kept = malloc(1000);
    strcpy(kept, "from the constructor");
}

__attribute__((destructor)) static void ends(void) {
    free(malloc(2000));
    free(kept);
}

char *early_kept(void) { return kept; }
char *early_new(size_t n) { return calloc(1, n); }
