/* SPDX-License-Identifier: Apache-2.0 */
#include "opaque_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "opaque: %s\n", what);
    abort();
}

static enum sotto_err script_random(void *ctx, void *ret, size_t len)
{
    struct script *s = ctx;
    struct sotto_bytes answer;

    if (s->next == s->count)
        return SOTTO_ERR_RANDOM;
    answer = s->answers[s->next++];
    require(answer.n <= len, "the script's answer is longer than what was asked for");
    memset(ret, 0, len);
    memcpy(ret, answer.p, answer.n);
    return SOTTO_OK;
}

void script_init(struct script *s)
{
    memset(s, 0, sizeof *s);
    s->env = (struct sotto_env){s, script_random, NULL, NULL};
}

void script_add(struct script *s, const uint8_t *p, size_t n)
{
    require(s->count < sizeof s->answers / sizeof s->answers[0], "the script is full");
    s->answers[s->count++] = (struct sotto_bytes){p, n};
}

enum sotto_err identity_stretch(const uint8_t in[64], uint8_t ret[64])
{
    memcpy(ret, in, 64);
    return SOTTO_OK;
}

const char world_password[] = "correct horse battery staple";

enum sotto_err world_sign_up(struct world *w, const char *password)
{
    uint8_t request[SOTTO_OPAQUE_REG_REQUEST], response[SOTTO_OPAQUE_REG_RESPONSE];
    struct sotto_opaque_client *c;
    enum sotto_err e;

    require(sotto_opaque_register_start(&w->env.env, password, strlen(password), request, &c) == 0,
            "sign-up does not start");
    require(sotto_opaque_register_answer(&w->server, &w->alice, request, response) == 0,
            "sign-up is not answered");
    e = sotto_opaque_register_finish(&w->env.env, c, &w->ids, response, w->record, w->export_key);
    sotto_opaque_client_free(c);
    return e;
}

void world_make(struct world *w, sotto_opaque_stretch *stretch)
{
    static const uint8_t seed[32] = "opaque", relay_id[32] = "relay";
    static const char context[] = "sotto/1 opaque\0exporter of this connection";

    memset(w, 0, sizeof *w);
    sotto_env_fixed_init(&w->env, seed, 0);
    w->alice = VIEW("alice", 5);
    w->nobody = VIEW("nobody", 6);
    w->ids = (struct sotto_opaque_ids){VIEW(relay_id, 32), VIEW("alice", 5),
                                       VIEW(context, sizeof context), stretch};
    require(sotto_opaque_server_generate(&w->env.env, &w->server) == 0, "no server");
    require(world_sign_up(w, world_password) == 0, "no account");
}

void run_start(struct world *w, const char *password, struct run *ret)
{
    memset(ret, 0, sizeof *ret);
    require(sotto_opaque_login_start(&w->env.env, password, strlen(password), ret->ke1,
                                     &ret->client) == 0,
            "sign-in does not start");
}

enum sotto_err run_answer(struct world *w, const struct sotto_bytes *id, const uint8_t *record,
                          struct run *r)
{
    return sotto_opaque_login_answer(&w->env.env, &w->server, &w->ids, id, record, r->ke1, r->ke2,
                                     &r->login);
}

enum sotto_err run_finish(const struct world *w, struct run *r)
{
    uint8_t untouched[64];
    enum sotto_err e;

    memset(untouched, 0xee, sizeof untouched);
    memset(r->ke3, 0xee, sizeof r->ke3);
    memset(r->session_key, 0xee, sizeof r->session_key);
    memset(r->export_key, 0xee, sizeof r->export_key);
    e = sotto_opaque_login_finish(r->client, &w->ids, r->ke2, r->ke3, r->session_key,
                                  r->export_key);
    require(e == 0 ||
                (memcmp(r->ke3, untouched, 64) == 0 && memcmp(r->session_key, untouched, 64) == 0 &&
                 memcmp(r->export_key, untouched, 64) == 0),
            "outputs of a sign-in that failed");
    return e;
}

void run_free(struct run *r)
{
    sotto_opaque_client_free(r->client);
}
