// Stands between a program and whatever allocator comes after it in LD_PRELOAD, and counts. At exit two lines go to
// count.PID in the directory COUNT_IN, as blocks and bytes:
//   tools    as valgrind and heaptrack count: each realloc is a free and an allocation of the whole new size
//   tenure   as tenure counts: a realloc that does not move allocates no block, and only the bytes by which it grows
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_ullong blocks, bytes, resized, whole, grown;
// The requested size of the block at each address: pages that are never touched cost nothing.
static uint32_t* sizes;
static char early[1 << 16];
static size_t used;

static void* (*next_malloc)(size_t);
static void* (*next_calloc)(size_t, size_t);
static void* (*next_realloc)(void*, size_t);
static void (*next_free)(void*);
static int (*next_posix_memalign)(void**, size_t, size_t);
static void* (*next_aligned_alloc)(size_t, size_t);
static void* (*next_memalign)(size_t, size_t);
static int finding;

static void find(void) {
    if (next_free || finding) return;
    finding = 1;
    int saved = errno;
    sizes = mmap(NULL, (size_t)1 << 45, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sizes == MAP_FAILED) _exit(99);
    next_malloc = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
    next_calloc = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next_realloc = (void* (*)(void*, size_t))dlsym(RTLD_NEXT, "realloc");
    next_posix_memalign = (int (*)(void**, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    next_aligned_alloc = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
    next_memalign = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    next_free = (void (*)(void*))dlsym(RTLD_NEXT, "free");
    errno = saved;
    finding = 0;
}

static void* born(void* block, size_t size) {
    if (block) {
        blocks++;
        bytes += size;
        sizes[(uintptr_t)block >> 4] = (uint32_t)size;
    }
    return block;
}

static int is_early(void* block) { return (char*)block >= early && (char*)block < early + sizeof early; }

// What is asked for while the next allocator is being looked for.
static void* from_early(size_t size) {
    size_t at = (used + 15) & ~(size_t)15;
    if (size > sizeof early - at) _exit(98);
    used = at + size;
    return early + at;
}

void* malloc(size_t size) {
    find();
    return next_malloc ? born(next_malloc(size), size) : from_early(size);
}
void* calloc(size_t n, size_t size) {
    find();
    return next_calloc ? born(next_calloc(n, size), n * size) : from_early(n * size);
}
void free(void* block) {
    find();
    if (block && !is_early(block)) next_free(block);
}
void* realloc(void* block, size_t size) {
    find();
    if (!block) return malloc(size);
    if (is_early(block)) {
        void* new = malloc(size);
        if (new) memcpy(new, block, size);
        return new;
    }
    size_t old = sizes[(uintptr_t)block >> 4];
    uintptr_t was = (uintptr_t)block;
    void* new = next_realloc(block, size);
    if ((uintptr_t)new == was) {
        resized++;
        whole += size;
        if (size > old) grown += size - old;
        sizes[was >> 4] = (uint32_t)size;
        return new;
    }
    return born(new, size);
}
void* reallocarray(void* block, size_t n, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, all);
}
int posix_memalign(void** out, size_t align, size_t size) {
    find();
    int error = next_posix_memalign(out, align, size);
    if (!error) born(*out, size);
    return error;
}
void* aligned_alloc(size_t align, size_t size) { find(); return born(next_aligned_alloc(align, size), size); }
void* memalign(size_t align, size_t size) { find(); return born(next_memalign(align, size), size); }

__attribute__((destructor)) static void tell(void) {
    char name[4096], text[256];
    const char* directory = getenv("COUNT_IN");
    if (!directory) return;
    snprintf(name, sizeof name, "%s/count.%d", directory, (int)getpid());
    int n = snprintf(text, sizeof text, "tools %llu %llu\ntenure %llu %llu\n", blocks + resized, bytes + whole, blocks, bytes + grown);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, text, (size_t)n) != n) _exit(97);
    close(file);
}
