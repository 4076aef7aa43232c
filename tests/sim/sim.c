/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation: many seeds, each in a process of its own that is forked off a world which was
 * made once. The disk is in memory, so it is forked with the rest.
 *
 *   sim [--seeds N] [--first N] [--seed N] [--jobs N] [--faults MASK] [--mutant N | --mutants]
 *
 * --mutants looks for each of the planted bugs (base/mutant.h) until a seed finds it.
 * --seed plays one run, the same as before; with ENGINE_RIG_LOG set every frame is printed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "disk.h"
#include "schedule.h"
#include "watch.h"

#define FIRST_SEED      1
#define SEEDS           120
#define SEEDS_SANITIZED 12
#define LONGEST_S       120 /* one run */
#define BLOCKS_SHOWN    8

#ifdef SOTTO_MUTANT
int sotto_mutant;
#endif

struct total { /* shared by all processes */
    atomic_ulong frames, messages, writes, syncs, deaths, power_cuts, lost, torn, full, seals;
    atomic_ulong faulty[16];
};

struct options {
    uint64_t first, count;
    unsigned jobs, faults; /* faults 0: as the seed says */
    int mutant;
    bool stop;    /* at the first find */
    bool quiet;   /* finds are wanted */
    bool mutants; /* each planted bug has to be found */
};

static struct world w;
static struct total *total;
static size_t blocks_before;

static void add_up(const struct sim_run *s, size_t seals_before)
{
    total->frames += s->frames + w.carried;
    total->messages += s->count;
    total->writes += sim_disk_count.writes;
    total->syncs += sim_disk_count.syncs;
    total->deaths += sim_disk_count.deaths;
    total->power_cuts += sim_disk_count.power_cuts;
    total->lost += sim_disk_count.lost;
    total->torn += sim_disk_count.torn;
    total->full += sim_disk_count.full;
    total->seals += watch_seals() - seals_before;
    for (unsigned i = 0; i < 16; i++)
        total->faulty[i] += s->faults >> i & 1;
}

#ifdef SOTTO_MUTANT
/* Some bugs come in when a database is opened. */
static void restart_all(void)
{
    relay_kill(&w);
    for (size_t i = 0; i < w.phone_count; i++)
        phone_crash(w.phones[i]);
    world_settle(&w);
}
#endif

/* In a process of its own; the exit code says whether all was right. */
static int play(const struct options *o, uint64_t seed)
{
    static struct sim_run s;
    unsigned faults = o->faults != 0 ? o->faults : sim_faults_of(seed);
    size_t seals = watch_seals();
    bool right;

    alarm(LONGEST_S);
    w.carried = 0;
    memset(&sim_disk_count, 0, sizeof sim_disk_count);
    if ((faults & SIM_STRANGERS) == 0)
        sim_base_talk(&w);
#ifdef SOTTO_MUTANT
    sotto_mutant = o->mutant;
    if (sotto_mutant != MUTANT_NONE)
        restart_all();
#endif
    right = sim_run(&s, &w, seed, faults);
    if (watch_repeats() > 0)
        right = sim_wrong(&s, "the cipher", "a key", "was used twice with the same nonce");
    add_up(&s, seals);
    world_free(&w);
    if (watch_blocks() != blocks_before) {
        printf("  %zu blocks of memory, %zu before\n", watch_blocks(), blocks_before);
        watch_blocks_print(BLOCKS_SHOWN);
        right = sim_wrong(&s, "memory", "blocks", "were not given back");
    }
    fflush(stdout);
    return right ? 0 : 1;
}

struct child {
    pid_t pid;
    uint64_t seed;
};

static void say_failed(const struct options *o, uint64_t seed, int status)
{
    char faults[256];

    sim_faults_print(o->faults != 0 ? o->faults : sim_faults_of(seed), faults);
    if (WIFSIGNALED(status))
        printf("  seed %llu: ended by signal %d%s\n", (unsigned long long)seed, WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? " (it took too long)" : "");
    printf("seed %llu (%s) FAILED; to play it again: make sim SEED=%llu\n",
           (unsigned long long)seed, faults, (unsigned long long)seed);
    fflush(stdout);
}

/* How many seeds failed. */
static unsigned play_all(const struct options *o, uint64_t *ret_found)
{
    struct child children[64] = {{0}};
    uint64_t next = o->first, end = o->first + o->count;
    unsigned running = 0, bad = 0;

    for (;;) {
        int status;
        pid_t pid;

        while (running < o->jobs && next < end && !(o->stop && bad > 0)) {
            fflush(stdout);
            if ((pid = fork()) < 0)
                exit(2);
            if (pid == 0 && o->quiet && freopen("/dev/null", "w", stdout) == NULL)
                _exit(0);
            if (pid == 0)
                _exit(play(o, next));
            for (unsigned i = 0; i < o->jobs; i++)
                if (children[i].pid == 0) {
                    children[i] = (struct child){pid, next++};
                    break;
                }
            running++;
        }
        if (running == 0)
            return bad;
        if ((pid = wait(&status)) < 0)
            exit(2);
        for (unsigned i = 0; i < o->jobs; i++) {
            if (children[i].pid != pid)
                continue;
            if (status != 0) {
                *ret_found = children[i].seed;
                bad++;
                if (!o->quiet)
                    say_failed(o, children[i].seed, status);
            }
            children[i].pid = 0;
            running--;
        }
    }
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"seeds", 1, NULL, 'n'}, {"first", 1, NULL, 'f'},   {"seed", 1, NULL, 's'},
        {"jobs", 1, NULL, 'j'},  {"faults", 1, NULL, 'F'},  {"mutant", 1, NULL, 'm'},
        {"stop", 0, NULL, 'S'},  {"mutants", 0, NULL, 'M'}, {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        uint64_t v = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;

        switch (c) {
        case 'n':
            o->count = v;
            break;
        case 'f':
            o->first = v;
            break;
        case 's':
            o->first = v;
            o->count = 1;
            break;
        case 'j':
            o->jobs = v < 1 ? 1 : v > 64 ? 64 : (unsigned)v;
            break;
        case 'F':
            o->faults = (unsigned)v;
            break;
        case 'm':
            o->mutant = (int)v;
            break;
        case 'M':
            o->mutants = true;
            break;
        case 'S':
            o->stop = true;
            break;
        default:
            exit(2);
        }
    }
}

#ifdef SOTTO_MUTANT
/* Each has the default seeds to be found in. */
static unsigned find_mutants(struct options *o)
{
    unsigned missed = 0;

    o->stop = true;
    o->quiet = true;
    printf("1..%d\n", MUTANT_COUNT - 1);
    for (o->mutant = 1; o->mutant < MUTANT_COUNT; o->mutant++) {
        uint64_t found = 0;
        bool yes = play_all(o, &found) > 0;

        missed += !yes;
        if (yes)
            printf("ok %d - planted bug %d is found by seed %llu\n", o->mutant, o->mutant,
                   (unsigned long long)found);
        else
            printf("not ok %d - planted bug %d is not found by seeds %llu to %llu\n", o->mutant,
                   o->mutant, (unsigned long long)o->first,
                   (unsigned long long)(o->first + o->count - 1));
        fflush(stdout);
    }
    return missed;
}
#endif

static void print_total(const struct options *o, unsigned bad)
{
    unsigned long ops =
        total->frames + total->messages + total->writes + total->syncs + total->seals;

    printf("# %lu messages, %lu frames, %lu writes and %lu syncs to disks, %lu "
           "seals: %.2f million operations\n",
           total->messages, total->frames, total->writes, total->syncs, total->seals,
           (double)ops / 1e6);
    printf("# %lu deaths in the middle of a store operation, %lu power cuts (%lu writes lost, %lu "
           "torn), %lu times no room\n",
           total->deaths, total->power_cuts, total->lost, total->torn, total->full);
    printf("%sok 1 - seeds %llu to %llu%s\n", bad > 0 ? "not " : "", (unsigned long long)o->first,
           (unsigned long long)(o->first + o->count - 1), bad > 0 ? ", see above" : "");
}

int main(int argc, char **argv)
{
    struct options o = {.first = FIRST_SEED, .count = SEEDS, .jobs = 2};
    const char *sanitizer = getenv("SOTTO_SANITIZER");
    bool sanitized = sanitizer != NULL && *sanitizer != '\0';
    uint64_t found = 0;
    unsigned bad;

    parse(argc, argv, &o);
    /* Sanitizers look at each line, which few seeds reach as well as many; and what a planted bug
     * does to memory is their find, not ours. */
    if (sanitized && o.mutants) {
        printf("1..0 # SKIP planted bugs are for the build without sanitizers\n");
        return 0;
    }
    if (sanitized && o.count == SEEDS)
        o.count = SEEDS_SANITIZED;
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED)
        return 2;
    sim_disk_init();
    sim_base(&w, &sim_rig_disk); /* what a thread keeps for ever is made with the first one */
    sim_base_talk(&w);
    world_free(&w);
    watch_seals_forget();
    blocks_before = watch_blocks();
    sim_base(&w, &sim_rig_disk);
#ifdef SOTTO_MUTANT
    if (o.mutants)
        return find_mutants(&o) > 0;
#endif
    bad = play_all(&o, &found);
    print_total(&o, bad);
    return bad > 0;
}
