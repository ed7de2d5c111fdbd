// Loaded and unloaded again and again. Its blocks outlive it, and it has some of each thread.
#include <stdlib.h>
#include <string.h>

static __thread char* mine;
static char* early;

__attribute__((constructor)) static void begin(void) { early = strdup("made while it was being loaded"); }
__attribute__((destructor)) static void end(void) { free(early); }

char* make(size_t size) {
    free(mine);
    mine = malloc(size);
    char* block = malloc(size);
    memset(block, (int)size, size);
    return block;
}
void done(void) { free(mine); mine = NULL; }
