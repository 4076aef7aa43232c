/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end-to-end encryption, each step held against the sum of the primitives that it cannot do
 * without, both measured in this run; a primitive counts as the fastest call that the libraries
 * offer here. Content is 100 bytes, which travel as 256 because of the padding, so a message has
 * two sums: with the cipher for 256 bytes and, as if there were no padding, for 100.
 */
#include "bench.h"

#include <sodium.h>
#include <string.h>

#include "alloc_count.h"
#include "crypto/aead.h"
#include "people.h"
#include "primitives.h"

enum { CONTENT = 100, BATCH = 64, ROUNDS = 300, PADDED = 256, MESSAGE_AD = 32 + 75 };

static const struct sotto_env *env;
static struct person alice, bob;
static struct sotto_session *a, *b;
static const uint8_t content[CONTENT] = "one hundred bytes";
static uint8_t msgs[BATCH][2304], out[SOTTO_MESSAGE_MAX];
static size_t lens[BATCH];

static void say(struct sotto_session *from, int i)
{
    BENCH_CHECK(
        sotto_session_encrypt(env, from, content, CONTENT, msgs[i], sizeof msgs[i], &lens[i]) == 0);
}

static void hear(struct sotto_session *to, int i)
{
    size_t n;

    BENCH_CHECK(sotto_session_decrypt(env, to, msgs[i], lens[i], out, &n) == 0 && n == CONTENT);
}

static void open_session(void)
{
    BENCH_CHECK(people_initiate(env, &alice, &bob, true, &a) == 0);
    say(a, 0);
    BENCH_CHECK(people_respond(env, &bob, &alice, msgs[0], lens[0], &b) == 0);
    hear(b, 0);
    say(b, 0);
    hear(a, 0);
    say(a, 0);
    hear(b, 0);
}

static double us(double *v)
{
    return bench_of(v, ROUNDS).best / 1000;
}

static void one_way(double *ret_encrypt, double *ret_decrypt)
{
    static double enc[ROUNDS], dec[ROUNDS];
    uint64_t t0, t1, t2;

    for (int r = 0; r < ROUNDS; r++) {
        t0 = bench_now_ns();
        for (int i = 0; i < BATCH; i++)
            say(a, i);
        t1 = bench_now_ns();
        for (int i = 0; i < BATCH; i++)
            hear(b, i);
        t2 = bench_now_ns();
        enc[r] = (double)(t1 - t0) / BATCH;
        dec[r] = (double)(t2 - t1) / BATCH;
    }
    *ret_encrypt = us(enc);
    *ret_decrypt = us(dec);
}

/* Alternating messages: every one brings a new key. */
static double ping_pong(void)
{
    static double v[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        uint64_t t0 = bench_now_ns();

        for (int i = 0; i < BATCH / 2; i++) {
            say(b, 0);
            hear(a, 0);
            say(a, 0);
            hear(b, 0);
        }
        v[r] = (double)(bench_now_ns() - t0) / BATCH;
    }
    return us(v);
}

static void handshake(double *ret_initiator, double *ret_responder)
{
    static double ini[ROUNDS], res[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        struct sotto_session *x, *y;
        uint64_t t0 = bench_now_ns(), t1;

        BENCH_CHECK(people_initiate(env, &alice, &bob, true, &x) == 0);
        say(x, 0);
        t1 = bench_now_ns();
        BENCH_CHECK(people_respond(env, &bob, &alice, msgs[0], lens[0], &y) == 0);
        hear(y, 0);
        res[r] = (double)(bench_now_ns() - t1);
        ini[r] = (double)(t1 - t0);
        sotto_session_free(x);
        sotto_session_free(y);
    }
    *ret_initiator = us(ini);
    *ret_responder = us(res);
}

static uint8_t sealed[4096];
static size_t sealed_len;

static void envelope_seal(void *ctx)
{
    BENCH_CHECK(sotto_envelope_seal(env, &bob.account, &bob.device, "alice", alice.device.id,
                                    SOTTO_ENVELOPE_MESSAGE, msgs[0], lens[0], sealed, sizeof sealed,
                                    &sealed_len) == 0);
}

static void envelope_open(void *ctx)
{
    struct sotto_opened o;

    BENCH_CHECK(sotto_envelope_open(&bob.keys.sealing, &bob.account, bob.device.id, sealed,
                                    sealed_len, out, &o) == 0);
}

static void ephemeral(void *ctx)
{
    size_t n;

    BENCH_CHECK(
        sotto_session_encrypt_ephemeral(env, a, "t", 1, msgs[1], sizeof msgs[1], &lens[1]) == 0 &&
        sotto_session_decrypt_ephemeral(b, msgs[1], lens[1], out, &n) == 0);
}

/* AES-256-GCM at the sizes that travel, the faster of libsodium and our choice. */
struct gcm {
    size_t len, ad;
    struct sotto_secret32 key;
    uint8_t nonce[12], text[4096], ct[4096 + 16], data[128];
};
static struct gcm gcm;

static void gcm_seal_sodium(void *ctx)
{
    gcm.key.b[0]++;
    BENCH_CHECK(crypto_aead_aes256gcm_encrypt(gcm.ct, NULL, gcm.text, gcm.len, gcm.data, gcm.ad,
                                              NULL, gcm.nonce, gcm.key.b) == 0);
}

static void gcm_seal_ours(void *ctx)
{
    gcm.key.b[0]++;
    BENCH_CHECK(sotto_aead_seal(&gcm.key, gcm.nonce, gcm.data, gcm.ad, gcm.text, gcm.len, gcm.ct) ==
                0);
}

static void gcm_open_sodium(void *ctx)
{
    BENCH_CHECK(crypto_aead_aes256gcm_decrypt(gcm.text, NULL, NULL, gcm.ct, gcm.len + 16, gcm.data,
                                              gcm.ad, gcm.nonce, gcm.key.b) == 0);
}

static void gcm_open_ours(void *ctx)
{
    BENCH_CHECK(sotto_aead_open(&gcm.key, gcm.nonce, gcm.data, gcm.ad, gcm.ct, gcm.len + 16,
                                gcm.text) == 0);
}

static double least_of(void (*sodium)(void *), void (*ours)(void *))
{
    double t = bench_run(ours, NULL).best / 1000, s;

    if (crypto_aead_aes256gcm_is_available() == 1 && (s = bench_run(sodium, NULL).best / 1000) < t)
        t = s;
    return t;
}

/* Seal and open of len bytes. */
static void gcm_least(size_t len, size_t ad, double *ret_seal, double *ret_open)
{
    gcm.len = len;
    gcm.ad = ad;
    *ret_seal = least_of(gcm_seal_sodium, gcm_seal_ours);
    *ret_open = least_of(gcm_open_sodium, gcm_open_ours);
}

static void row(const char *step, double measured, double least, double limit, const char *sum)
{
    printf("%-34s %9.2f %9.2f %6.2f", step, measured, least, measured / least);
    if (limit > 0)
        printf(" %6.2f", limit);
    else
        printf("       ");
    printf("  %s\n", sum);
}

static void print_heap(void)
{
    size_t before = alloc_count();

    for (int i = 0; i < 1000; i++) {
        say(i % 10 < 5 ? a : b, 0);
        hear(i % 10 < 5 ? b : a, 0);
    }
    printf("\nheap calls in 1,000 messages: %zu\n", alloc_count() - before);
}

int main(void)
{
    struct primitives p;
    double enc, dec, turn, ini, res, s256, o256, s_env, o_env, seal, open;

    primitives_measure(&p);
    env = sotto_env_system();
    person_make(env, "alice", &alice);
    person_make(env, "bob", &bob);
    
    open_session();
    gcm_least(PADDED, MESSAGE_AD, &s256, &o256);
    one_way(&enc, &dec);
    turn = ping_pong();
    handshake(&ini, &res);
    say(a, 0);
    gcm_least(lens[0] + 15, 6, &s_env, &o_env);
    seal = bench_run(envelope_seal, NULL).best / 1000;
    open = bench_run(envelope_open, NULL).best / 1000;
    hear(b, 0);

    printf("\n%-34s %9s %9s %6s %6s  %s\n", "step (us)", "measured", "least", "ratio", "limit",
           "sum of the least (S, O: bytes)");
    row("message, encrypt", enc, 2 * p.h + p.k44 + s256, 0, "2H + K44 + S256");
    row("message, decrypt", dec, 2 * p.h + p.k44 + o256, 0, "2H + K44 + O256");
    row("message, both", enc + dec, 4 * p.h + 2 * p.k44 + s256 + o256, 2.0,
        "4H + 2K44 + S256 + O256");
    row("message, both", enc + dec, 4 * p.h + 2 * p.k44 + p.seal100 + p.open100, 2.0,
        "4H + 2K44 + S100 + O100");
    row("ping-pong turn", turn,
        4 * p.h + 2 * p.k44 + p.seal100 + p.open100 + 2 * p.x + p.g + 2 * p.k64, 1.2,
        "4H + 2K44 + S100 + O100 + 2X + G + 2K64");
    row("PQXDH initiator, first message", ini,
        2 * p.verify + 2 * p.g + 5 * p.x + p.kem_encaps + 2 * p.k64 + 2 * p.h + p.k44 + p.seal100,
        1.25, "2V + 2G + 5X + E + 2K64 + 2H + K44 + S100");
    row("PQXDH responder, first message", res,
        5 * p.x + p.kem_decaps + 2 * p.k64 + 2 * p.h + p.k44 + p.open100, 1.25,
        "5X + D + 2K64 + 2H + K44 + O100");
    row("envelope, seal", seal, p.g + p.x + 7 * p.h + s_env, 1.15, "G + X + 7H + S");
    row("envelope, open", open, p.x + 7 * p.h + o_env, 1.15, "X + 7H + O");
    row("envelope, both", seal + open, p.g + 2 * p.x + 14 * p.h + s_env + o_env, 1.15,
        "G + 2X + 14H + S + O");
    row("ephemeral message, both", bench_run(ephemeral, NULL).best / 1000, 2 * p.k44 + s256 + o256,
        0, "2K44 + S256 + O256");
    print_heap();
    sotto_session_free(a);
    sotto_session_free(b);
    return 0;
}
