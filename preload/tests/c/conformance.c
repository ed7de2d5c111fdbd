// What each entry point does with sizes, alignments, and errno.
#include "check.h"
#include <limits.h>

// The C library has them from 2.43 on.
static void (*free_sized_)(void *, size_t);
static void (*free_aligned_sized_)(void *, size_t, size_t);
void *__libc_malloc(size_t);
void __libc_free(void *);

static volatile size_t hide;
static size_t of(size_t n) { return n + hide; }

static void fill(void *p, size_t n, unsigned char with) {
    memset(p, with, n);
}

static int holds(const void *p, size_t n, unsigned char what) {
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) {
        if (c[i] != what) return 0;
    }
    return 1;
}

static int is_at(const void *p, size_t align) { return p != NULL && (uintptr_t)p % align == 0; }

static void sizes(void) {
    for (size_t n = 0; n < 300000; n += n < 2000 ? 1 : n / 7) {
        unsigned char *p = malloc(of(n)), *q = malloc(of(n));
        CHECK(is_at(p, 16) && is_at(q, 16) && p != q);
        size_t usable = malloc_usable_size(p);
        CHECK(usable >= n);
        fill(p, usable, 1);
        fill(q, malloc_usable_size(q), 2);
        CHECK(holds(p, usable, 1));
        free(q);
        q = calloc(of(1), n);
        CHECK(is_at(q, 16) && holds(q, n, 0));
        free(p);
        free(q);
    }
    CHECK(malloc_usable_size(NULL) == 0);
    free(NULL);
}

static void refusals(void) {
    size_t impossible[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX - 65535, SIZE_MAX / 2 + 2,
                           (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 1, PTRDIFF_MAX - 65536, (size_t)1 << 62, (size_t)1 << 48};
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        size_t n = of(impossible[i]);
        void *kept = malloc(100);
        fill(kept, 100, 7);
#define REFUSED(call)                                                                                                  \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK((call) == NULL && errno == ENOMEM);                                                                      \
    } while (0)
        REFUSED(malloc(n));
        REFUSED(calloc(1, n));
        REFUSED(calloc(n, 1));
        REFUSED(calloc(n, n));
        REFUSED(calloc(n / 2 + 1, 4));
        REFUSED(realloc(NULL, n));
        REFUSED(realloc(kept, n));
        REFUSED(reallocarray(kept, n, 1));
        REFUSED(reallocarray(kept, n, 16));
        REFUSED(reallocarray(NULL, 1, n));
        REFUSED(aligned_alloc(16, n));
        REFUSED(aligned_alloc(4096, n));
        REFUSED(aligned_alloc(1 << 26, n));
        REFUSED(memalign(64, n));
        REFUSED(valloc(n));
        REFUSED(pvalloc(n));
        void *large = malloc(3 << 20);
        REFUSED(realloc(large, n));
        free(large);
        void *untouched = &untouched;
        errno = 77;
        CHECK(posix_memalign(&untouched, 64, n) == ENOMEM && untouched == &untouched && errno == 77);
        CHECK(posix_memalign(&untouched, 4096, n) == ENOMEM && untouched == &untouched && errno == 77);
        CHECK(holds(kept, 100, 7));
        free(kept);
    }
    // An alignment that no address has.
    REFUSED(aligned_alloc((size_t)1 << 62, 1));
    REFUSED(aligned_alloc((size_t)1 << 63, 1));
    REFUSED(aligned_alloc((size_t)1 << 63, SIZE_MAX));
    REFUSED(memalign((size_t)1 << 62, 1));
}

static void alignments(void) {
    for (size_t align = 1; align <= (size_t)64 << 20; align *= 2) {
        size_t around[] = {0, 1, 8, align - 1, align, align + 1, 3 * align / 2, 100, 5000, 70000};
        for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
            size_t n = of(around[i]);
            size_t at_least = align > 16 ? align : 16;
            void *a = aligned_alloc(align, n), *m = memalign(align, n), *p = NULL;
            errno = 77;
            int result = posix_memalign(&p, align, n);
            CHECK(errno == 77);
            if (align < sizeof(void *)) {
                CHECK(result == EINVAL && p == NULL);
            } else {
                CHECK(result == 0 && is_at(p, at_least));
            }
            CHECK(is_at(a, at_least) && is_at(m, at_least) && a != m);
            CHECK(malloc_usable_size(a) >= n && malloc_usable_size(m) >= n);
            memset(a, 1, n);
            memset(m, 2, n);
            CHECK(holds(a, n, 1));
            free(m);
            // A block of any alignment may be resized.
            a = realloc(a, n + 100000);
            CHECK(a != NULL && holds(a, n, 1));
            free(a);
            free(p);
        }
    }
    void *untouched = &untouched;
    errno = 77;
    size_t bad[] = {0, 1, 2, 4, 3, 12, 24, 100, 4095, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(posix_memalign(&untouched, of(bad[i]), 8) == EINVAL && untouched == &untouched && errno == 77);
    }
    size_t no_power[] = {0, 3, 12, 24, 100, 4095, SIZE_MAX};
    for (size_t i = 0; i < sizeof no_power / sizeof *no_power; i++) {
        errno = 0;
        CHECK(aligned_alloc(of(no_power[i]), 8) == NULL && errno == EINVAL);
    }
    // As in glibc, memalign rounds up what is no power of two, if there is one.
    void *p = memalign(of(48), 10);
    CHECK(is_at(p, 64));
    free(p);
    errno = 0;
    CHECK(memalign(of(SIZE_MAX / 2 + 2), 10) == NULL && errno == EINVAL);
    size_t page = sysconf(_SC_PAGESIZE);
    for (size_t n = 0; n < 5 * page; n += 500) {
        void *v = valloc(of(n)), *pv = pvalloc(of(n));
        CHECK(is_at(v, page) && is_at(pv, page) && malloc_usable_size(pv) >= (n + page - 1) / page * page);
        free(v);
        free(pv);
    }
}

static void resizing(void) {
    // Growing and shrinking through all classes, into large and huge blocks and back.
    size_t n = 1;
    unsigned char *p = realloc(NULL, n);
    p[0] = 0;
    for (int i = 0; i < 400; i++) {
        size_t next = i < 200 ? n + n / 8 + 1 : n - n / 9;
        if (next > (size_t)48 << 20) next = (size_t)48 << 20;
        p = realloc(p, of(next));
        CHECK(is_at(p, 16) && malloc_usable_size(p) >= next);
        size_t kept = next < n ? next : n;
        for (size_t k = 0; k < kept; k += 1 + kept / 100) CHECK(p[k] == (unsigned char)k);
        for (size_t k = 0; k < next; k++) p[k] = k;
        n = next;
    }
    errno = 77;
    CHECK(realloc(p, of(0)) == NULL && errno == 77); // glibc frees it
    p = reallocarray(NULL, of(10), 10);
    CHECK(p != NULL && malloc_usable_size(p) >= 100);
    p = reallocarray(p, of(1000), 10);
    CHECK(p != NULL && malloc_usable_size(p) >= 10000);
    CHECK(reallocarray(p, of(0), 10) == NULL);
    p = reallocarray(NULL, of(0), 10);
    CHECK(p != NULL);
    free(p);
}

static void unique_zeroes(void) {
    void *all[1000];
    for (int i = 0; i < 1000; i++) {
        all[i] = i % 2 ? malloc(of(0)) : calloc(of(0), 8);
        CHECK(is_at(all[i], 16));
        for (int k = 0; k < i; k++) CHECK(all[k] != all[i]);
    }
    for (int i = 0; i < 1000; i++) free(all[i]);
}

static void errno_stays(void) {
    size_t n[] = {1, 100, 5000, 30000, 100000, 3 << 20, 64 << 20};
    for (size_t k = 0; k < sizeof n / sizeof *n; k++) {
        int count = n[k] > 1000000 ? 4 : 3000;
        void **all = malloc(count * sizeof *all);
        for (int i = 0; i < count; i++) {
            all[i] = malloc(of(n[k]));
            if (all[i] != NULL) *(volatile char *)all[i] = 1;
        }
        errno = 77;
        for (int i = 0; i < count; i++) free(all[i]);
        CHECK(errno == 77);
        free(all);
    }
}

static void others(void) {
    free_sized_ = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    free_aligned_sized_ = (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(free_sized_ != NULL && free_aligned_sized_ != NULL);
    if (free_sized_ != NULL && free_aligned_sized_ != NULL) {
        free_sized_(malloc(of(100)), 100);
        free_aligned_sized_(aligned_alloc(64, of(128)), 64, 128);
    }
    // What glibc's own names give, anybody may free.
    free(__libc_malloc(of(100)));
    __libc_free(malloc(of(100)));
    void *large = malloc(of(1 << 20));
    struct mallinfo2 info = mallinfo2();
    CHECK(info.hblks >= 1 && info.hblkhd >= 1 << 20 && info.uordblks > 0 && info.arena >= info.uordblks);
    CHECK(mallinfo2().uordblks <= info.uordblks + 100000);
    memset(large, 1, 1 << 20);
    void *all[1000];
    for (int i = 0; i < 1000; i++) memset(all[i] = malloc(of(4000)), 1, 4000);
    for (int i = 0; i < 1000; i++) free(all[i]);
    free(large);
    malloc_trim(0);
    CHECK(malloc_trim(0) == 0 || malloc_trim(0) == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    // The C library's functions that allocate give blocks that `free` takes.
    char *text = NULL;
    CHECK(asprintf(&text, "%d", 12345) == 5);
    free(text);
    free(strdup("a text"));
    free(realpath("/", NULL));
    free(getcwd(NULL, 0));
    size_t room = 0;
    char *line = NULL;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL && getline(&line, &room, file) > 0);
    free(line);
    fclose(file);
}

int main(void) {
    sizes();
    refusals();
    alignments();
    resizing();
    unique_zeroes();
    errno_stays();
    others();
    return done();
}
