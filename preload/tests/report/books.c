/* A library of books, which holds on to what it reads. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *kept[64];
int n;

/* Wrappers, as every large program has them. */
__attribute__((noinline)) void *xmalloc(size_t size) {
    void *block = malloc(size);
    if (!block) abort();
    return block;
}

__attribute__((noinline)) char *book_strdup(const char *text) {
    return strcpy(xmalloc(strlen(text) + 1), text);
}

/* 10 of 1,000 bytes. */
__attribute__((noinline)) void shelve(void) {
    for (int i = 0; i < 10; i++) kept[n++] = xmalloc(1000);
}

/* 3 of 101 bytes. */
__attribute__((noinline)) void label(void) {
    char text[101];
    memset(text, 'a', 100);
    text[100] = 0;
    for (int i = 0; i < 3; i++) kept[n++] = book_strdup(text);
}

/* What the C library allocates is this function's: a block of 5,000 bytes by `strdup`. */
__attribute__((noinline)) void copy(void) {
    static char text[5000];
    memset(text, 'b', 4999);
    kept[n++] = strdup(text);
}

/* A static function: without a symbol in a stripped program. */
static __attribute__((noinline)) void hide(void) {
    kept[n++] = calloc(2, 1500);
}

/* Far away from it, and exported. */
__attribute__((noinline)) void visible(void) {
    hide();
    asm volatile("");
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    shelve();
    label();
    copy();
    visible();
    free(malloc(70000)); /* not held */
    if (!strcmp(how, "_exit")) _exit(0);
    if (!strcmp(how, "fork")) {
        /* One child that holds little, and one that holds 2 MiB. */
        for (int i = 0; i < 2; i++) {
            if (!fork()) {
                if (i) kept[n++] = malloc(2 << 20);
                exit(0);
            }
            wait(NULL);
        }
    }
    if (!strcmp(how, "signal")) {
        char line[8];
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) return 1;
        _exit(0);
    }
    if (!strcmp(how, "close")) {
        /* Descriptor 2 becomes a file of the program's own. */
        close(2);
        FILE *database = fopen(argv[2], "w+");
        if (!database || fileno(database) != 2) return 1;
        fputs("database\n", database);
        fflush(database);
    }
    return 0;
}
