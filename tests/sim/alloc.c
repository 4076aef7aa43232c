/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out once, at each place of the product that asks for some. A conversation (story.h)
 * is played; whenever memory is asked for at a place that was not seen before, the process is
 * forked, and in the child there is none. The child plays on: it finishes the part that it is in,
 * everybody is restarted and talks again, and everything has to be as if nothing had happened.
 * Nobody may crash, hang, lose or repeat a message, or keep memory.
 *
 *   alloc [--depth N] [--all] [--part I/N] [--long] [--jobs N] [--at NUMBER]
 *
 * A place is the innermost N calls of our own code (not SQLite's, nor those of other libraries).
 * --all lets each allocation fail and not only the first of each place, --part I/N every N-th of
 * those; --long plays the whole conversation to its end. --at plays one failure in this process.
 */
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "disk.h"
#include "product.h"
#include "story.h"
#include "watch.h"

#define FRAMES     64
#define DEPTH      3
#define DEPTH_ASAN 2 /* where all is slower */
#define PLACES     (1u << 16)
#define JOBS_MAX   16
#define LONGEST_S  60 /* one child */
#define BLOCKS     8  /* shown of those that were kept */

struct place {
    uint64_t hash;
    unsigned long number;
    int depth;
    uintptr_t calls[FRAMES]; /* from the start of the program */
};

static struct {
    unsigned jobs;
    int depth;
    bool all, to_the_end;
    unsigned long part, parts, at;
} options = {.jobs = 2, .depth = DEPTH, .parts = 1};

static uint64_t places[PLACES]; /* open addressing */
static size_t place_count;
static unsigned long number, failures;
static unsigned bad;
static size_t blocks_before;
static struct child {
    pid_t pid;
    int output;
    struct place place;
} children[JOBS_MAX];

/* --- which place it is --- */

extern const char __executable_start[], etext[];
static uintptr_t sqlite_from = UINTPTR_MAX, sqlite_to; /* from the start of the program */

static void find_sqlite_in(const char *program, const Elf64_Shdr *section, const char *names)
{
    const Elf64_Sym *s = (const void *)(program + section->sh_offset);
    bool in = false;

    for (size_t i = 0; i < section->sh_size / sizeof *s; i++) {
        const char *name = names + s[i].st_name;

        if (ELF64_ST_TYPE(s[i].st_info) == STT_FILE)
            in = strstr(name, "sqlite3") != NULL;
        /* Cold parts lie elsewhere, beside those of others. */
        if (!in || ELF64_ST_TYPE(s[i].st_info) != STT_FUNC || strstr(name, ".cold") != NULL)
            continue;
        if (s[i].st_value < sqlite_from)
            sqlite_from = s[i].st_value;
        if (s[i].st_value + s[i].st_size > sqlite_to)
            sqlite_to = s[i].st_value + s[i].st_size;
    }
}

/* SQLite is linked in; where, is in the program's symbols. Without them its insides are places as
 * well, and there are more of them. */
static void find_sqlite(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *map = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return;
    const char *program = map;
    const Elf64_Ehdr *head = map;
    const Elf64_Shdr *sections = (const void *)(program + head->e_shoff);

    for (size_t i = 0; i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB)
            find_sqlite_in(program, &sections[i],
                           program + sections[sections[i].sh_link].sh_offset);
    (void)munmap(map, (size_t)st.st_size);
}

static bool is_ours(uintptr_t call)
{
    return call < (uintptr_t)(etext - __executable_start) &&
           (call < sqlite_from || call >= sqlite_to);
}

static void find_place(const void *caller, struct place *p)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES), first = 0;

    while (first < n && frames[first] != caller)
        first++;

    p->number = number;
    p->depth = 0;
    p->hash = 0x9e3779b97f4a7c15ull;
    for (int i = first; i < n && p->depth < options.depth; i++) {
        uintptr_t call = (uintptr_t)frames[i] - (uintptr_t)__executable_start;

        if (!is_ours(call))
            continue;
        p->calls[p->depth++] = call;
        p->hash = (p->hash ^ call) * 0xbf58476d1ce4e5b9ull;
        p->hash ^= p->hash >> 31;
    }
}

static bool is_new(uint64_t hash)
{
    size_t at = hash & (PLACES - 1);

    while (places[at] != 0 && places[at] != hash)
        at = (at + 1) & (PLACES - 1);
    if (places[at] == hash)
        return false;
    if (++place_count > PLACES / 2)
        abort();
    places[at] = hash;
    return true;
}

/* --- children --- */

static void say_failed(const struct child *c, int status)
{
    char program[256] = "", text[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

    printf("# allocation %lu, place %016llx: %s %d\n", c->place.number,
           (unsigned long long)c->place.hash, WIFSIGNALED(status) ? "ended by signal" : "exit code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    printf("#   to see where: addr2line -fpie %s", n > 0 ? program : "");
    for (int i = 0; i < c->place.depth; i++)
        printf(" 0x%lx", (unsigned long)c->place.calls[i] - 1);
    printf("\n");
    fflush(stdout);
    (void)lseek(c->output, 0, SEEK_SET);
    while ((n = read(c->output, text, sizeof text)) > 0)
        (void)!write(STDOUT_FILENO, text, (size_t)n);
}

static void reap(void)
{
    int status;
    pid_t pid = wait(&status);

    if (pid < 0)
        abort();
    for (unsigned i = 0; i < options.jobs; i++) {
        if (children[i].pid != pid)
            continue;
        if (status != 0) {
            bad++;
            say_failed(&children[i], status);
        }
        close(children[i].output);
        children[i].pid = 0;
    }
}

static struct child *free_child(void)
{
    for (;;) {
        for (unsigned i = 0; i < options.jobs; i++)
            if (children[i].pid == 0)
                return &children[i];
        reap();
    }
}

/* false in the child: this one fails. */
static bool fork_here(const struct place *place)
{
    struct child *c = free_child();

    failures++;
    fflush(stdout);
    c->place = *place;
    if ((c->output = memfd_create("output", MFD_CLOEXEC)) < 0 || (c->pid = fork()) < 0)
        abort();
    if (c->pid != 0)
        return true;
    (void)dup2(c->output, STDOUT_FILENO);
    (void)dup2(c->output, STDERR_FILENO);
    alarm(LONGEST_S);
    return false;
}

static bool granted(const void *caller)
{
    struct place place;

    number++;
    if (story_trouble)
        return true;
    if (options.at != 0) {
        story_trouble = number == options.at;
        return !story_trouble;
    }
    find_place(caller, &place);
    if (!is_new(place.hash) && !options.all)
        return true;
    if (number % options.parts != options.part || fork_here(&place))
        return true;
    story_trouble = true;
    return false;
}

static bool parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"depth", 1, NULL, 'd'}, {"all", 0, NULL, 'a'},  {"part", 1, NULL, 'p'},
        {"long", 0, NULL, 'l'},  {"jobs", 1, NULL, 'j'}, {"at", 1, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'd':
            options.depth = atoi(optarg);
            break;
        case 'a':
            options.all = true;
            break;
        case 'p':
            if (sscanf(optarg, "%lu/%lu", &options.part, &options.parts) != 2)
                return false;
            break;
        case 'l':
            options.to_the_end = true;
            break;
        case 'j':
            options.jobs = (unsigned)atoi(optarg);
            break;
        case 'n':
            options.at = strtoul(optarg, NULL, 0);
            break;
        default:
            return false;
        }
    }
    return options.depth > 0 && options.depth <= FRAMES && options.jobs > 0 &&
           options.jobs <= JOBS_MAX && options.part < options.parts;
}

/* OpenSSL keeps the texts of a thread's last errors. */
static size_t blocks(void)
{
    OPENSSL_thread_stop();
    return watch_blocks();
}

static int play(void)
{
    story_play(options.to_the_end);
    if (blocks() != blocks_before) {
        printf("%zu blocks of memory, %zu before\n", watch_blocks(), blocks_before);
        watch_blocks_print(BLOCKS);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *sanitizer = getenv("SOTTO_SANITIZER");
    void *frame;
    int result;

    if (sanitizer != NULL && *sanitizer != '\0')
        options.depth = DEPTH_ASAN;
    if (!parse(argc, argv))
        return 2;
    (void)backtrace(&frame, 1); /* it loads what it needs */
    find_sqlite();
    product_watch();
    sim_disk_init();
    story_play(true); /* what is kept for ever is made with the first one */
    watch_seals_forget();
    blocks_before = blocks();
    product_grants = granted;
    result = play();
    if (story_trouble)
        _exit(result);
    product_grants = NULL;
    for (unsigned i = 0; i < options.jobs; i++)
        while (children[i].pid != 0)
            reap();
    printf("# %lu of %lu allocations failed, at %zu places; %u times something went wrong\n",
           failures, number, place_count, bad);
    printf("%sok 1 - memory runs out once, at each place that asks for it\n1..1\n",
           bad > 0 || result != 0 ? "not " : "");
    return bad > 0 || result != 0;
}
