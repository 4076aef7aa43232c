/* SPDX-License-Identifier: Apache-2.0 */
#include "load_meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#define CALIBRATE_ROUNDS 5
#define CALIBRATE_BLOCKS 300
#define CALIBRATE_BYTES  16384

uint64_t load_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* --- /proc --- */

/* The text of a file of the process; "" when it is gone. */
static void read_proc(pid_t pid, const char *name, char *ret, size_t room)
{
    char path[64];
    FILE *f;
    size_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    if (pid > 0 && (f = fopen(path, "r")) != NULL) {
        n = fread(ret, 1, room - 1, f);
        fclose(f);
    }
    ret[n] = 0;
}

static double server_cpu(pid_t pid)
{
    char text[2048];
    const char *p;
    unsigned long user = 0, system = 0;

    read_proc(pid, "stat", text, sizeof text);
    /* The name in parentheses may hold anything; the 12th field after it is the user time. */
    if ((p = strrchr(text, ')')) == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static long number_of(pid_t pid, const char *file, const char *key)
{
    char text[4096];
    const char *p;

    read_proc(pid, file, text, sizeof text);
    p = strstr(text, key);
    return p != NULL ? strtol(p + strlen(key), NULL, 10) : 0;
}

long load_rss_kb(pid_t pid)
{
    return number_of(pid, "status", "VmRSS:");
}

static double own_cpu(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec / 1e6 +
           (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec / 1e6;
}

/* Interrupts that are charged to nobody included; idle and waiting for disks (fields 4, 5) not. */
static double all_cpu(void)
{
    unsigned long long v[8] = {0};
    FILE *f = fopen("/proc/stat", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
               &v[5], &v[6], &v[7]) != 8)
        memset(v, 0, sizeof v);
    fclose(f);
    return (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / (double)sysconf(_SC_CLK_TCK);
}

void load_moment_take(pid_t server, struct load_moment *ret)
{
    *ret = (struct load_moment){
        .seconds = (double)load_now_ns() / 1e9,
        .server_cpu = server_cpu(server),
        .own_cpu = own_cpu(),
        .all_cpu = all_cpu(),
        .written = (double)number_of(server, "io", "\nwrite_bytes:"),
    };
}

void load_moment_add(struct load_moment *sum, const struct load_moment *earlier,
                     const struct load_moment *later)
{
    sum->seconds += later->seconds - earlier->seconds;
    sum->server_cpu += later->server_cpu - earlier->server_cpu;
    sum->own_cpu += later->own_cpu - earlier->own_cpu;
    sum->all_cpu += later->all_cpu - earlier->all_cpu;
    sum->written += later->written - earlier->written;
    sum->messages += later->messages - earlier->messages;
}

double load_moment_others(const struct load_moment *span)
{
    return span->all_cpu - span->server_cpu - span->own_cpu;
}

/* --- the machine --- */

double load_calibrate(void)
{
    static uint8_t block[CALIBRATE_BYTES];
    static const uint8_t key[32], nonce[12];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    double best = 0;
    int n;

    for (int round = 0; ctx != NULL && round < CALIBRATE_ROUNDS; round++) {
        uint64_t began = load_now_ns();
        double ms;

        for (int i = 0; i < CALIBRATE_BLOCKS; i++) {
            EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce);
            EVP_EncryptUpdate(ctx, block, &n, block, sizeof block);
            EVP_EncryptFinal_ex(ctx, block, &n);
        }
        ms = (double)(load_now_ns() - began) / 1e6;
        if (round == 0 || ms < best)
            best = ms;
    }
    EVP_CIPHER_CTX_free(ctx);
    return best;
}

/* --- latencies --- */

void load_latencies_init(struct load_latencies *t, size_t room)
{
    *t = (struct load_latencies){.us = malloc(room * sizeof *t->us), .room = room};
    if (t->us == NULL) {
        fputs("relay_load: out of memory\n", stderr);
        exit(1);
    }
}

void load_latencies_free(struct load_latencies *t)
{
    free(t->us);
    *t = (struct load_latencies){.count = 0};
}

void load_latencies_note(struct load_latencies *t, uint64_t ns)
{
    uint64_t us = ns / 1000;

    if (t->count < t->room)
        t->us[t->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

size_t load_latencies_keep(struct load_latencies *t, size_t to, size_t from, size_t end)
{
    memmove(t->us + to, t->us + from, (end - from) * sizeof *t->us);
    return to + (end - from);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void load_latencies_sort(struct load_latencies *t)
{
    if (t->count > 0)
        qsort(t->us, t->count, sizeof *t->us, compare);
}

double load_latencies_ms(const struct load_latencies *t, double share)
{
    size_t i = (size_t)(share * (double)t->count);

    if (t->count == 0)
        return 0;
    return t->us[i < t->count ? i : t->count - 1] / 1000.0;
}
