/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_load --port N --work W ...: loads a relay that relay_fill made, and prints one line of
 * key=value pairs. bench_relay.py says what the workloads are.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "load.h"
#include "wire/invite.h"

void load_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("relay_load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *load_alloc(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);

    if (p == NULL)
        load_die("out of memory");
    return p;
}

void *load_grow(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL)
        load_die("out of memory");
    return p;
}

void load_head(struct load *l, const char *work)
{
    printf("cal_ms=%.2f cal_before_ms=%.2f work=%s peer=%s ", load_calibrate(), l->calibration,
           work, l->o.label);
}

static const struct {
    const char *name;
    void (*run)(struct load *l);
} works[] = {
    {"w1", load_w1},
    {"w2", load_w2},
    {"w3", load_w3},
    {"w4", load_w4},
    {"w5", load_w5},
    {"w6store", load_w6_store},
    {"w6drain", load_w6_drain},
    {"stock", load_stock},
    {"day", load_day},
};

static int usage(void)
{
    fputs("usage: relay_load --port N --work w1|w2|w3|w4|w5|w6store|w6drain|stock|day\n"
          "                  [--pid N] [--pin sha256:...] [--label NAME] [--user0 N]\n"
          "                  [--pairs N] [--senders N] [--window N] [--count N] [--rate N]\n"
          "                  [--seconds S] [--warm S] [--settle S] [--sources N] [--at-once N]\n"
          "                  [--box0 N] [--boxes N] [--kill-after N] [--file PATH]\n"
          "                  [--sign-ins N] [--awake]\n",
          stderr);
    return 2;
}

static const struct option names[] = {
    {"port", 1, NULL, 'p'},       {"work", 1, NULL, 'w'},    {"pid", 1, NULL, 'i'},
    {"pin", 1, NULL, 'k'},        {"label", 1, NULL, 'l'},   {"user0", 1, NULL, 'u'},
    {"pairs", 1, NULL, 'n'},      {"senders", 1, NULL, 's'}, {"window", 1, NULL, 'W'},
    {"count", 1, NULL, 'c'},      {"rate", 1, NULL, 'r'},    {"seconds", 1, NULL, 't'},
    {"warm", 1, NULL, 'm'},       {"settle", 1, NULL, 'e'},  {"sources", 1, NULL, 'a'},
    {"at-once", 1, NULL, 'o'},    {"box0", 1, NULL, 'b'},    {"boxes", 1, NULL, 'B'},
    {"kill-after", 1, NULL, 'K'}, {"file", 1, NULL, 'f'},    {"sign-ins", 1, NULL, 'S'},
    {"awake", 0, NULL, 'A'},      {NULL, 0, NULL, 0},
};

/* Those that are numbers, and not below the least that makes sense. */
static bool set_number(struct load_options *o, int name, const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (*text == 0 || *end != 0 || (v == 0 && strchr("pnsWraoS", name) != NULL))
        return false;
    switch (name) {
    case 'p':
        o->port = (uint16_t)v;
        return v <= UINT16_MAX;
    case 'i':
        o->server = (pid_t)v;
        return true;
    case 'c':
        o->count = v;
        return true;
    case 'r':
        o->rate = v;
        return true;
    case 'K':
        o->kill_after = v;
        return true;
    default:
        break;
    }
    uint32_t *const small = name == 'u'   ? &o->user0
                            : name == 'n' ? &o->pairs
                            : name == 's' ? &o->senders
                            : name == 'W' ? &o->window
                            : name == 'a' ? &o->sources
                            : name == 'o' ? &o->at_once
                            : name == 'b' ? &o->box0
                            : name == 'S' ? &o->sign_ins
                                          : &o->boxes;
    *small = (uint32_t)v;
    return v <= UINT32_MAX;
}

static bool set(struct load_options *o, int name, char *text)
{
    switch (name) {
    case 'w':
        o->work = text;
        return true;
    case 'l':
        o->label = text;
        return true;
    case 'f':
        o->file = text;
        return true;
    case 'A':
        o->awake = true;
        return true;
    case 'k':
        o->has_pin = true;
        return sotto_pin_parse(text, strlen(text), o->pin) == 0;
    case 't':
        o->seconds = strtod(text, NULL);
        return o->seconds > 0;
    case 'm':
        o->warm = strtod(text, NULL);
        return true;
    case 'e':
        o->settle = strtod(text, NULL);
        return true;
    default:
        return name != '?' && set_number(o, name, text);
    }
}

int main(int argc, char **argv)
{
    static struct load l = {
        .o = {.label = "sotto",
              .pairs = 100,
              .senders = 1,
              .window = 32,
              .sources = 8,
              .at_once = 32,
              .count = 10000,
              .rate = 2000,
              .sign_ins = 1,
              .kill_after = 5000,
              .seconds = 10,
              .warm = 2,
              .settle = 12,
              .boxes = 1},
        .limit = UINT64_MAX,
    };
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
        if (!set(&l.o, name, optarg))
            return usage();
    if (l.o.port == 0 || l.o.work == NULL || optind != argc)
        return usage();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0); /* a timetable is kept to the microsecond */
    load_wire_check();
    if (sotto_random(sotto_env_system(), &l.tag, sizeof l.tag) != 0)
        load_die("no random bytes");
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, l.o.work) != 0)
            continue;
        l.calibration = load_calibrate();
        load_start(&l);
        works[i].run(&l);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    return usage();
}
