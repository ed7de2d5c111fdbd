// The order of a process' life: constructors, threads' ends, dlopen and dlclose, exit.
#include "check.h"

char *early_kept(void);
static char *mine;
static pthread_key_t key;
static pthread_key_t keys[64];

__attribute__((constructor)) static void begins(void) { mine = strdup("from main's constructor"); }

// Runs after the library's own end-of-thread function, again and again.
static void at_the_end(void *value) {
    static __thread int rounds;
    char *p = malloc(300);
    memset(p, 1, 300);
    free(p);
    free(value);
    if (++rounds < 4) pthread_setspecific(key, malloc(50));
}

static void *works(void *kept) {
    pthread_setspecific(key, malloc(50));
    for (int i = 0; i < 64; i++) pthread_setspecific(keys[i], "a value, beyond those that need no memory");
    void *all[200];
    for (int i = 0; i < 200; i++) all[i] = malloc(i * 50);
    for (int i = 1; i < 200; i++) free(all[i]);
    free(kept);
    return all[0];
}

static char *until_exit[1000];
static void at_exit(void) {
    for (int i = 0; i < 1000; i++) free(until_exit[i]);
    char *p = malloc(100);
    memset(p, 1, 100);
    free(p);
}

__attribute__((destructor)) static void ends(void) { free(mine); }

int main(int argc, char **argv) {
    CHECK(strcmp(mine, "from main's constructor") == 0);
    CHECK(strcmp(early_kept(), "from the constructor") == 0);
    CHECK(pthread_key_create(&key, at_the_end) == 0);
    for (int i = 0; i < 64; i++) CHECK(pthread_key_create(&keys[i], NULL) == 0);
    for (int round = 0; round < 200; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, works, malloc(round * 10)) == 0);
        for (int i = 0; i < 4; i++) {
            void *left;
            pthread_join(threads[i], &left);
            free(left);
        }
    }
    for (int round = 0; argc > 1 && round < 50; round++) {
        void *library = dlopen(argv[1], RTLD_NOW);
        CHECK(library != NULL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            break;
        }
        char *(*make)(size_t) = (char *(*)(size_t))dlsym(library, "early_new");
        char *p = make(round * 100);
        dlclose(library);
        free(p);
        CHECK(dlsym(RTLD_DEFAULT, "there is no such thing") == NULL && dlerror() != NULL);
    }
    for (int i = 0; i < 1000; i++) until_exit[i] = malloc(i);
    atexit(at_exit);
    return done();
}
