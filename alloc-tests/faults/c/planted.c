/* A memory fault each, of a program in C: `planted NAME` commits one, `planted NAME good` runs the same program without
 * it, `planted --list` lists them. It says 0 if nobody noticed, and 10 if the fault had no effect, by the allocator's
 * design. It calls nothing but the C interface, so that any allocator may be loaded before it. */

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { UNNOTICED = 0, HARMLESS = 10 };

static int bad = 1;

/* The compiler must not see that two pointers are one, nor drop what nobody reads. */
static void *hide(void *p) {
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void *get(size_t n) {
    unsigned char *p = hide(malloc(n));
    if (!p) abort();
    memset(p, 0x5A, n);
    return hide(p);
}
static void put(void *p) { free(hide(p)); }
static void poke(void *p, long at, int value) { ((volatile unsigned char *)hide(p))[at] = (unsigned char)value; }
static int peek(void *p, long at) { return ((volatile unsigned char *)hide(p))[at]; }
static void fill(void *p, long at, long n, int value) {
    for (long i = 0; i < n; i++) poke(p, at + i, value);
}
static void work(int n, size_t size) {
    void *all[2000];
    if (n > 2000) n = 2000;
    for (int i = 0; i < n; i++) all[i] = get(size);
    for (int i = 0; i < n; i++) put(all[i]);
}

/* Overflows */
static int overflow(size_t size, long at, long n, int value) {
    void *before = get(size), *block = get(size), *after = get(size);
    if (bad) fill(block, at, n, value);
    put(after), put(block), put(before);
    work(300, size > 4096 ? 4096 : size);
    return UNNOTICED;
}
#define OVERFLOW(name, size, at, n, value) \
    static int name(void) { return overflow(size, at, n, value); }
OVERFLOW(overflow_1_of_24, 24, 24, 1, 1)
OVERFLOW(overflow_1_of_13, 13, 13, 1, 1)
OVERFLOW(overflow_zero_of_32, 32, 32, 1, 0)
OVERFLOW(overflow_8_of_40, 40, 40, 8, 0x41)
OVERFLOW(overflow_16_of_64, 64, 64, 16, 0x41)
OVERFLOW(overflow_64_of_100, 100, 100, 64, 0x41)
OVERFLOW(overflow_1_of_1024, 1024, 1024, 1, 1)
OVERFLOW(overflow_8_of_4096, 4096, 4096, 8, 0x41)
OVERFLOW(overflow_1_of_12000, 12000, 12000, 1, 1)
OVERFLOW(overflow_1_of_200000, 200000, 200000, 1, 1)
OVERFLOW(overflow_page_of_2_MiB, 2 << 20, 2 << 20, 4096, 1)
OVERFLOW(overflow_512_KiB_of_48, 48, 48, 512 << 10, 0x41)
OVERFLOW(underflow_1_of_64, 64, -1, 1, 1)
OVERFLOW(underflow_16_of_160, 160, -16, 16, 0x41)

static int overflow_strcpy(void) {
    char *p = get(8);
    strcpy(p, hide(bad ? "a text that is too long" : "short"));
    put(p);
    return UNNOTICED;
}
static int overflow_string_end(void) {
    char *p = get(48);
    for (int i = 0; i < 48; i++) poke(p, i, 'x');
    if (bad) poke(p, 48, 0);
    put(p);
    return UNNOTICED;
}
static int overflow_sprintf(void) {
    char *p = get(10);
    sprintf(p, bad ? "%012d" : "%d", 42);
    put(p);
    return UNNOTICED;
}
static int overflow_array(void) {
    int n = 25;
    int *p = get(n * sizeof *p);
    for (int i = 0; i < n + bad; i++) ((volatile int *)p)[i] = i;
    put(p);
    return UNNOTICED;
}
static int overflow_wrong_sizeof(void) {
    struct { long a[6]; } *p = get(bad ? sizeof p : sizeof *p);
    for (int i = 0; i < 6; i++) ((volatile long *)p->a)[i] = i;
    put(p);
    return UNNOTICED;
}
static int overflow_wrapped_size(void) {
    uint16_t n = 40;
    uint8_t small = (uint8_t)(n * 8);
    size_t size = bad ? small : n * 8u;
    char *p = get(size);
    for (int i = 0; i < n * 8; i++) poke(p, i, 1);
    put(p);
    return UNNOTICED;
}
static int overflow_calloc(void) {
    char *p = hide(calloc(7, 9));
    if (bad) poke(p, 63, 1);
    put(p);
    return UNNOTICED;
}
static int overflow_memalign(void) {
    char *p = hide(memalign(64, 100));
    memset(p, 1, 100);
    if (bad) poke(p, 100, 1);
    put(p);
    return UNNOTICED;
}
static int overflow_after_realloc(void) {
    char *p = hide(realloc(get(30), 70));
    memset(p, 1, 70);
    if (bad) poke(p, 70, 1);
    put(p);
    return UNNOTICED;
}
static int overflow_after_shrinking(void) {
    char *p = hide(realloc(get(120), 90));
    if (bad) poke(p, 90, 1);
    put(p);
    return UNNOTICED;
}
static int overflow_never_freed(void) {
    char *p = get(88);
    if (bad) poke(p, 88, 1);
    return UNNOTICED;
}
static int overread_1(void) {
    char *p = get(56);
    if (bad) hide((void *)(long)peek(p, 56));
    put(p);
    return UNNOTICED;
}
static int overread_1_MiB(void) {
    char *p = get(72);
    long sum = 0;
    for (long i = 0; i < (bad ? 1 << 20 : 72); i++) sum += peek(p, i);
    hide((void *)sum);
    put(p);
    return UNNOTICED;
}

/* Uses after free */
static int write_freed(size_t size, long at, int between, int value) {
    void *block = get(size), *keep = get(size);
    put(block);
    work(between, size);
    if (bad) poke(block, at, value);
    work(size > 4096 ? 50 : 2000, size);
    put(keep);
    return UNNOTICED;
}
#define WRITE(name, size, at, between, value) \
    static int name(void) { return write_freed(size, at, between, value); }
WRITE(write_after_free, 40, 16, 0, 1)
WRITE(write_after_free_first_byte, 64, 0, 0, 1)
WRITE(write_after_free_second_word, 64, 8, 0, 1)
WRITE(write_after_free_middle, 120, 56, 0, 1)
WRITE(write_after_free_last_byte, 56, 55, 0, 1)
WRITE(write_after_free_later, 80, 0, 50, 1)
WRITE(write_after_free_3000, 3000, 1500, 0, 1)
WRITE(write_after_free_30000, 30000, 40, 0, 1)
WRITE(write_after_free_500000, 500000, 250000, 0, 1)

static int write_after_free_and_exit(void) {
    char *p = get(100);
    put(p);
    if (bad) poke(p, 16, 1);
    return UNNOTICED;
}
static int write_after_free_memset(void) {
    char *p = get(200);
    put(p);
    if (bad) fill(p, 0, 200, 0);
    work(2000, 200);
    return UNNOTICED;
}
struct node { long value; struct node *next; long more[4]; };
static int read_after_free_list(void) {
    struct node *first = NULL;
    for (int i = 0; i < 20; i++) {
        struct node *n = get(sizeof *n);
        n->value = i, n->next = first, first = n;
    }
    for (struct node *n = first; n;) {
        struct node *next;
        if (bad) put(n), next = *(struct node *volatile *)&((struct node *)hide(n))->next;
        else next = n->next, put(n);
        n = next;
    }
    return UNNOTICED;
}
struct object { void *data[2]; void (*call)(void); };
static void hello(void) { hide(NULL); }
static int read_after_free_call(void) {
    struct object *o = get(sizeof *o);
    o->call = hello;
    put(o);
    if (bad) ((struct object *volatile)hide(o))->call();
    return UNNOTICED;
}
static int read_after_free_pointer(void) {
    long target = 7;
    struct node *n = get(sizeof *n);
    *(long **)&n->more[1] = &target;
    put(n);
    if (bad) hide((void *)**(long *volatile *)&((struct node *)hide(n))->more[1]);
    return UNNOTICED;
}
static int read_after_free_data(void) {
    char *p = get(96);
    memset(p, 0x77, 96);
    put(p);
    return bad && peek(p, 40) != 0x77 ? HARMLESS : UNNOTICED;
}
static int read_after_free_large(void) {
    char *p = get(3 << 20);
    put(p);
    if (bad) hide((void *)(long)peek(p, 2 << 20));
    return UNNOTICED;
}
static int read_after_getline(void) {
    char *line = strdup(hide("a line of text that is long enough to matter"));
    char *word = strchr(line, 'l');
    put(line);
    return bad && memcmp(hide(word), "line", 4) != 0 ? HARMLESS : UNNOTICED;
}
static int reuse_confusion(void) {
    char *old = get(64);
    put(old);
    char *new = get(64);
    fill(new, 0, 64, 0x11);
    if (bad && old == new) poke(old, 0, 0x99);
    int reached = bad && peek(new, 0) == 0x99;
    put(new);
    return bad && !reached ? HARMLESS : UNNOTICED;
}
static int reuse_by_a_spray(void) {
    char *old = get(48), *all[32];
    put(old);
    int got = 0;
    for (int i = 0; i < 32; i++) all[i] = get(48), got |= all[i] == old;
    for (int i = 0; i < 32; i++) put(all[i]);
    return bad && !got ? HARMLESS : UNNOTICED;
}

/* Frees */
static int twice(size_t size, int between) {
    void *block = get(size), *others[400];
    for (int i = 0; i < between; i++) others[i] = get(size);
    put(block);
    for (int i = 0; i < between; i++) put(others[i]);
    if (bad) put(block);
    work(300, size > 4096 ? 4096 : size);
    return UNNOTICED;
}
#define TWICE(name, size, between) \
    static int name(void) { return twice(size, between); }
TWICE(double_free, 32, 0)
TWICE(double_free_another_between, 32, 1)
TWICE(double_free_10_between, 56, 10)
TWICE(double_free_300_between, 56, 300)
TWICE(double_free_1500, 1500, 1)
TWICE(double_free_20000, 20000, 1)
TWICE(double_free_1_MiB, 1 << 20, 0)
TWICE(double_free_1_MiB_another_between, 1 << 20, 1)

static void *free_it(void *p) { put(p); return NULL; }
static int double_free_by_a_thread(void) {
    pthread_t t;
    void *p = get(72);
    pthread_create(&t, NULL, free_it, p);
    pthread_join(t, NULL);
    if (bad) put(p);
    return UNNOTICED;
}
static int double_free_error_path(void) {
    char *name = strdup(hide("name")), *value = strdup(hide("value"));
    int failed = 1;
    if (failed) put(value);
    put(name);
    if (bad && failed) put(value);
    return UNNOTICED;
}
static int double_free_realloc_0(void) {
    void *p = get(64);
    void *q = hide(realloc(p, 0));
    if (bad) put(p);
    else if (q) put(q);
    return UNNOTICED;
}
static int double_free_aligned(void) {
    void *p = NULL;
    if (posix_memalign(&p, 256, 512)) abort();
    put(p);
    if (bad) put(p);
    return UNNOTICED;
}
static int free_in(size_t size, long at) {
    char *p = get(size);
    put(bad ? p + at : p);
    work(300, size > 4096 ? 4096 : size);
    return UNNOTICED;
}
#define INSIDE(name, size, at) \
    static int name(void) { return free_in(size, at); }
INSIDE(free_inside_1, 64, 1)
INSIDE(free_inside_8, 64, 8)
INSIDE(free_inside_16, 200, 16)
INSIDE(free_inside_middle, 4096, 2048)
INSIDE(free_inside_large, 2 << 20, 64 << 10)
INSIDE(free_past_the_end, 64, 64)
INSIDE(free_before, 640, -16)

static int free_moved_pointer(void) {
    char *p = get(32), *q = p;
    strcpy(p, "key=value");
    while (bad && *q != '=') q++;
    put(q);
    return UNNOTICED;
}
static int free_stack(void) {
    char here[64] = {0};
    if (bad) put(here + 16);
    hide(here);
    return UNNOTICED;
}
static char a_static[256] __attribute__((aligned(16)));
static int free_static(void) {
    if (bad) put(a_static + 32);
    return UNNOTICED;
}
static int free_literal(void) {
    if (bad) put((void *)"a literal");
    return UNNOTICED;
}
static int free_code(void) {
    if (bad) put((void *)(((uintptr_t)&free_code + 31) & ~(uintptr_t)15));
    return UNNOTICED;
}
static int free_mapping(void) {
    char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bad) put(p + (33 << 20) + 16);
    return UNNOTICED;
}
static int free_number(void) {
    if (bad) put((void *)0x10);
    return UNNOTICED;
}
static int free_wild(void) {
    if (bad) put((void *)0x5A5A5A5A5A50);
    return UNNOTICED;
}
static int free_fake_block(void) {
    /* What would pass for a chunk of 64 bytes in a heap with headers. */
    uintptr_t *fake = get(256);
    fake[1] = 0x41, fake[9] = 0x41;
    if (bad) put(fake + 2);
    put(fake);
    return UNNOTICED;
}

/* realloc, sizes */
static int realloc_freed(void) {
    void *p = get(64);
    put(p);
    if (bad) put(hide(realloc(p, 300)));
    return UNNOTICED;
}
static int realloc_freed_large(void) {
    void *p = get(1 << 20);
    put(p);
    if (bad) put(hide(realloc(p, 3 << 20)));
    return UNNOTICED;
}
static int realloc_inside(void) {
    char *p = get(256);
    put(hide(realloc(bad ? p + 64 : p, 600)));
    return UNNOTICED;
}
static int realloc_static(void) {
    if (bad) put(hide(realloc(a_static + 16, 600)));
    return UNNOTICED;
}
static int old_pointer(size_t size, int what) {
    char *p = get(size), *wall = get(size);
    char *q = hide(realloc(p, size * 6));
    if (bad && p != q) {
        if (what == 0) poke(p, 16, 1);
        else put(p);
    }
    work(2000, size > 4096 ? 4096 : size);
    put(q), put(wall);
    return UNNOTICED;
}
static int old_pointer_write(void) { return old_pointer(80, 0); }
static int old_pointer_write_large(void) { return old_pointer(400000, 0); }
static int old_pointer_free(void) { return old_pointer(80, 1); }
static int usable_of_freed(void) {
    void *p = get(64);
    put(p);
    if (bad) hide((void *)malloc_usable_size(hide(p)));
    return UNNOTICED;
}
static int impossible(void *p) {
    int right = !p && errno == ENOMEM;
    if (p) put(p);
    return bad && right ? HARMLESS : UNNOTICED;
}
static int calloc_overflow(void) {
    errno = 0;
    return impossible(hide(calloc(((size_t)1 << 62) + (bad ? 2 : 0) - (bad ? 0 : ((size_t)1 << 62)), 4)));
}
static int reallocarray_overflow(void) {
    errno = 0;
    return impossible(hide(reallocarray(NULL, bad ? ((size_t)1 << 61) + 1 : 1, 8)));
}

struct fault { const char *name; int (*run)(void); };
#define F(f) { #f, f }
static const struct fault ALL[] = {
    F(overflow_1_of_24), F(overflow_1_of_13), F(overflow_zero_of_32), F(overflow_8_of_40), F(overflow_16_of_64),
    F(overflow_64_of_100), F(overflow_1_of_1024), F(overflow_8_of_4096), F(overflow_1_of_12000),
    F(overflow_1_of_200000), F(overflow_page_of_2_MiB), F(overflow_512_KiB_of_48), F(underflow_1_of_64),
    F(underflow_16_of_160), F(overflow_strcpy), F(overflow_string_end), F(overflow_sprintf), F(overflow_array),
    F(overflow_wrong_sizeof), F(overflow_wrapped_size), F(overflow_calloc), F(overflow_memalign),
    F(overflow_after_realloc), F(overflow_after_shrinking), F(overflow_never_freed), F(overread_1), F(overread_1_MiB),
    F(write_after_free), F(write_after_free_first_byte), F(write_after_free_second_word), F(write_after_free_middle),
    F(write_after_free_last_byte), F(write_after_free_later), F(write_after_free_3000), F(write_after_free_30000),
    F(write_after_free_500000), F(write_after_free_and_exit), F(write_after_free_memset), F(read_after_free_list),
    F(read_after_free_call), F(read_after_free_pointer), F(read_after_free_data), F(read_after_free_large),
    F(read_after_getline), F(reuse_confusion), F(reuse_by_a_spray), F(double_free), F(double_free_another_between),
    F(double_free_10_between), F(double_free_300_between), F(double_free_1500), F(double_free_20000),
    F(double_free_1_MiB), F(double_free_1_MiB_another_between), F(double_free_by_a_thread), F(double_free_error_path),
    F(double_free_realloc_0), F(double_free_aligned), F(free_inside_1), F(free_inside_8), F(free_inside_16),
    F(free_inside_middle), F(free_inside_large), F(free_past_the_end), F(free_before), F(free_moved_pointer),
    F(free_stack), F(free_static), F(free_literal), F(free_code), F(free_mapping), F(free_number), F(free_wild),
    F(free_fake_block), F(realloc_freed), F(realloc_freed_large), F(realloc_inside), F(realloc_static),
    F(old_pointer_write), F(old_pointer_write_large), F(old_pointer_free), F(usable_of_freed), F(calloc_overflow),
    F(reallocarray_overflow),
};

int main(int argc, char **argv) {
    size_t n = sizeof ALL / sizeof *ALL;
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < n; i++) puts(ALL[i].name);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < n; i++) {
        if (strcmp(argv[1], ALL[i].name)) continue;
        bad = argc == 2;
        int end = ALL[i].run();
        puts("the end");
        return bad ? end : 0;
    }
    fprintf(stderr, "usage: planted NAME [good] | --list\n");
    return 2;
}
