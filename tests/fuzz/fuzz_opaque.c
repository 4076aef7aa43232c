/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "opaque_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world w;
static struct run genuine; /* alice's sign-in up to KE3 */

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void prepare(void)
{
    if (w.ids.stretch != NULL)
        return;
    world_make(&w, identity_stretch);
    run_start(&w, world_password, &genuine);
    require(run_answer(&w, &w.alice, w.record, &genuine) == 0);
    require(run_finish(&w, &genuine) == 0);
}

/* An element, and not the identity, or not. */
static bool valid(const uint8_t element[32])
{
    struct sotto_scalar two = {{2}};
    uint8_t product[32];

    return sotto_group_mul(&two, element, product) == 0;
}

static void sign_up_request(const uint8_t *request)
{
    uint8_t response[SOTTO_OPAQUE_REG_RESPONSE];
    enum sotto_err e = sotto_opaque_register_answer(&w.server, &w.alice, request, response);

    require(e == (valid(request) ? SOTTO_OK : SOTTO_ERR_BAD_KEY));
    require(e != 0 || (valid(response) && memcmp(response + 32, w.server.pub, 32) == 0));
}

static void sign_up_response(const uint8_t *response)
{
    uint8_t record[SOTTO_OPAQUE_REG_RECORD], key[64];
    enum sotto_err e =
        sotto_opaque_register_finish(&w.env.env, genuine.client, &w.ids, response, record, key);

    require(e == (valid(response) && valid(response + 32) ? SOTTO_OK : SOTTO_ERR_BAD_KEY));
    require(e != 0 || valid(record));
}

/* The same is refused for an account that is there and for one that is not. */
static void ke1(const uint8_t *in)
{
    enum sotto_err want = valid(in) && valid(in + 64) ? SOTTO_OK : SOTTO_ERR_BAD_KEY;

    for (int there = 0; there < 2; there++) {
        struct run r;

        memcpy(r.ke1, in, sizeof r.ke1);
        require(run_answer(&w, &w.alice, there ? w.record : NULL, &r) == want);
        require(want != 0 || (valid(r.ke2) && valid(r.ke2 + 224)));
    }
}

/* The client goes on with what the relay sent and with nothing else. */
static void ke2(const uint8_t *in)
{
    struct run r = genuine;
    enum sotto_err e;

    memcpy(r.ke2, in, sizeof r.ke2);
    e = run_finish(&w, &r);
    require((e == 0) == (memcmp(in, genuine.ke2, sizeof r.ke2) == 0));
    require(e == 0 || e == SOTTO_ERR_BAD_TAG || e == SOTTO_ERR_BAD_KEY);
    require(e != 0 || memcmp(r.ke3, genuine.ke3, sizeof r.ke3) == 0);
}

static void ke3(const uint8_t *in)
{
    enum sotto_err e = sotto_opaque_login_check(&genuine.login, in);

    require(e == (memcmp(in, genuine.ke3, SOTTO_OPAQUE_KE3) == 0 ? SOTTO_OK : SOTTO_ERR_BAD_TAG));
}

/* A record is what a client once sent. */
static void record(const uint8_t *in)
{
    struct run r = genuine;
    enum sotto_err e = run_answer(&w, &w.alice, in, &r);

    require(e == (valid(in) ? SOTTO_OK : SOTTO_ERR_BAD_KEY));
    if (e == 0 && memcmp(in, w.record, SOTTO_OPAQUE_REG_RECORD) != 0)
        (void)run_finish(&w, &r);
}

/* The first byte says which message the rest is; it is used when it has the right length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        size_t len;
        void (*check)(const uint8_t *in);
    } messages[] = {
        {SOTTO_OPAQUE_REG_REQUEST, sign_up_request},
        {SOTTO_OPAQUE_REG_RESPONSE, sign_up_response},
        {SOTTO_OPAQUE_KE1, ke1},
        {SOTTO_OPAQUE_KE2, ke2},
        {SOTTO_OPAQUE_KE3, ke3},
        {SOTTO_OPAQUE_REG_RECORD, record},
    };

    prepare();
    if (size == 0 || data[0] >= sizeof messages / sizeof messages[0] ||
        size - 1 != messages[data[0]].len)
        return 0;
    messages[data[0]].check(data + 1);
    return 0;
}
