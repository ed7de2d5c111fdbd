// What the programs of these tests share. `-fno-builtin`: the compiler knows what malloc does, and would leave it out.
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                         \
        }                                                                                                              \
    } while (0)

// Whether malloc is the library's that is tested: all else would be a test of the C library.
static inline int is_preloaded(void) {
    Dl_info info;
    return dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 && strstr(info.dli_fname, "tenure_preload") != NULL;
}

static inline int done(void) {
    CHECK(is_preloaded());
    if (failures == 0) {
        puts("all is well");
    }
    fflush(stdout);
    return failures != 0;
}
#endif
