// Each argument is a way to misuse an address. Prints the address before, and must not come to its end.
#include "check.h"
#include <sys/mman.h>

static void *volatile hidden;

// The compiler sees neither that it is the same address, nor that it was freed.
static void *hide(void *p) {
    hidden = p;
    return hidden;
}

static void *says(void *p) {
    printf("address %p\n", p);
    fflush(stdout);
    return hide(p);
}

static void *frees(void *p) {
    free(hide(p));
    return NULL;
}

static void twice(void *p) {
    says(p);
    free(hide(p));
    free(hide(p));
}

static void twice_with_others(size_t n, int others) {
    char *p = says(malloc(n));
    void *all[1000];
    for (int i = 0; i < others; i++) all[i] = malloc(n);
    free(hide(p));
    for (int i = 0; i < others; i++) free(all[i]);
    free(hide(p));
}

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static char in_bss[4096] __attribute__((aligned(4096)));

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 0) : 64;
    // The program has done something by then.
    for (int i = 0; i < 1000; i++) free(hide(malloc(i)));
    if (!is_preloaded()) return 2;
    if (is(what, "a-number")) free(says((void *)n));
    char *p = malloc(n);
    memset(p, 0, n);
    pthread_t thread;
    if (is(what, "twice")) twice(p);
    else if (is(what, "twice-calloc")) twice(calloc(1, n));
    else if (is(what, "twice-aligned")) twice(aligned_alloc(256, n));
    else if (is(what, "twice-after-100")) twice_with_others(n, 100);
    else if (is(what, "twice-after-1000")) twice_with_others(n, 1000);
    else if (is(what, "twice-after-writing")) {
        says(p);
        free(hide(p));
        memset(hidden, 0x41, n < 64 << 10 ? n : 0); // the memory of a large block may be gone by now
        free(hide(p));
    } else if (is(what, "twice-after-trim")) {
        says(p);
        free(hide(p));
        malloc_trim(0);
        free(hide(p));
    } else if (is(what, "twice-elsewhere")) {
        says(p);
        free(hide(p));
        pthread_create(&thread, NULL, frees, p);
        pthread_join(thread, NULL);
    } else if (is(what, "twice-after-elsewhere")) {
        says(p);
        pthread_create(&thread, NULL, frees, p);
        pthread_join(thread, NULL);
        free(hide(p));
    } else if (is(what, "twice-after-realloc")) {
        says(p);
        char *q = realloc(hide(p), n * 3 + 100000);
        if (q == p) return 3;
        free(hide(p));
    } else if (is(what, "twice-by-realloc")) {
        says(p);
        if (realloc(hide(p), 0) != NULL) return 3;
        free(hide(p));
    } else if (is(what, "inside")) free(says(p + n / 2 / 16 * 16));
    else if (is(what, "inside-by-8")) free(says(p + 8));
    else if (is(what, "inside-by-1")) free(says(p + 1));
    else if (is(what, "inside-at-its-end")) free(says(p + n - 1));
    else if (is(what, "inside-by-a-slice")) free(says(p + (64 << 10)));
    else if (is(what, "inside-by-32-MiB")) free(says(p + (32 << 20)));
    else if (is(what, "before")) free(says(p - 16));
    else if (is(what, "never-the-next")) {
        // Blocks are handed out in the order of addresses: the one behind the highest is nobody's.
        char *last = p;
        for (int i = 0; i < 10; i++) {
            char *q = malloc(n);
            if (q > last) last = q;
        }
        free(says(last + malloc_usable_size(last)));
    } else if (is(what, "never-at-the-end-of-its-page")) {
        size_t step = malloc_usable_size(p);
        uintptr_t page = (uintptr_t)p & ~(uintptr_t)0xffff;
        free(says((void *)(page + 0xffff / step * step - (0xffff / step * step == 0xffff ? step : 0))));
    } else if (is(what, "a-page-that-is-gone")) {
        void *all[1000];
        for (int i = 0; i < 1000; i++) all[i] = malloc(n);
        says(all[500]);
        for (int i = 0; i < 1000; i++) free(all[i]);
        malloc_trim(0);
        free(hide(all[500]));
    } else if (is(what, "the-stack")) free(says(&p));
    else if (is(what, "a-variable")) free(says(in_bss));
    else if (is(what, "a-text")) free(says((void *)"text"));
    else if (is(what, "code")) free(says((void *)main));
    else if (is(what, "a-mapping")) free(says(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    else if (is(what, "the-break")) free(says(sbrk(4096)));
    else if (is(what, "our-own")) {
        // The metadata of the segment that the block is in, and its marks.
        uintptr_t base = (uintptr_t)p & ~(uintptr_t)((32 << 20) - 1);
        free(says((void *)(base - 65536 + n)));
    } else if (is(what, "our-marks")) {
        uintptr_t base = (uintptr_t)p & ~(uintptr_t)((32 << 20) - 1);
        free(says((void *)(base + (30 << 20) + n)));
    } else if (is(what, "realloc-freed")) {
        says(p);
        free(hide(p));
        hide(realloc(hide(p), 2 * n));
    } else if (is(what, "realloc-inside")) hide(realloc(says(p + 16), 2 * n));
    else if (is(what, "realloc-the-stack")) hide(realloc(says(&p), 2 * n));
    else if (is(what, "usable-freed")) {
        says(p);
        free(hide(p));
        hide((void *)malloc_usable_size(hide(p)));
    } else if (is(what, "none")) {
        free(hide(p)); // for the test of the test
    } else return 4;
    puts("it went unnoticed");
    return 0;
}
