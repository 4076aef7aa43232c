/* SPDX-License-Identifier: Apache-2.0 */
#include "product.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "client/engine.h"
#include "disk.h"
#include "net/cert.h"
#include "relay/relay.h"
#include "run/client/event.h"
#include "watch.h"

static volatile int inside; /* functions of the product, less callbacks out of them */
bool (*product_grants)(const void *caller);

static bool granted(const void *caller)
{
    return inside <= 0 || sim_disk_busy > 0 || product_grants == NULL || product_grants(caller);
}

/* --- libraries --- */

static void *ssl_malloc(size_t n, const char *file, int line)
{
    return n > 0 ? malloc(n) : NULL;
}

static void *ssl_realloc(void *p, size_t n, const char *file, int line)
{
    if (n == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, n);
}

static void ssl_free(void *p, const char *file, int line)
{
    free(p);
}

void *__real_sodium_malloc(size_t n);
void *__wrap_sodium_malloc(size_t n);
void *__wrap_sodium_malloc(size_t n)
{
    return granted(__builtin_return_address(0)) ? __real_sodium_malloc(n) : NULL;
}

void product_watch(void)
{
    watch_grants = granted;
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
        abort();
}

/* --- the ways in --- */

#define WAY(type, name, parameters, arguments)                                                     \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        type got;                                                                                  \
                                                                                                   \
        inside++;                                                                                  \
        got = __real_##name arguments;                                                             \
        inside--;                                                                                  \
        return got;                                                                                \
    }
#define WAY_VOID(name, parameters, arguments)                                                      \
    void __real_##name parameters;                                                                 \
    void __wrap_##name parameters;                                                                 \
    void __wrap_##name parameters                                                                  \
    {                                                                                              \
        inside++;                                                                                  \
        __real_##name arguments;                                                                   \
        inside--;                                                                                  \
    }

WAY(enum sotto_err, sotto_rs_open,
    (const char *path, bool create, const char *vfs, struct sotto_relay_store **ret, char *why,
     size_t room),
    (path, create, vfs, ret, why, room))
WAY_VOID(sotto_rs_close, (struct sotto_relay_store * s), (s))
WAY(enum sotto_err, sotto_relay_new,
    (const struct sotto_env *env, struct sotto_relay_store *store,
     const struct sotto_relay_config *config, struct sotto_relay **ret),
    (env, store, config, ret))
WAY_VOID(sotto_relay_free, (struct sotto_relay * r), (r))
WAY(enum sotto_err, sotto_relay_reconfigure,
    (struct sotto_relay * r, const struct sotto_relay_config *config), (r, config))
WAY(enum sotto_err, sotto_relay_open,
    (struct sotto_relay * r, const struct sotto_relay_peer *peer, void *ctx,
     struct sotto_relay_conn **ret),
    (r, peer, ctx, ret))
WAY_VOID(sotto_relay_frame, (struct sotto_relay_conn * c, const uint8_t *body, size_t len),
         (c, body, len))
WAY_VOID(sotto_relay_closed, (struct sotto_relay_conn * c), (c))
WAY(enum sotto_err, sotto_relay_turn, (struct sotto_relay * r), (r))
WAY_VOID(sotto_relay_sync_begun, (struct sotto_relay * r), (r))
WAY(enum sotto_err, sotto_rs_sync, (struct sotto_relay_store * s), (s))
WAY(enum sotto_err, sotto_rs_checkpoint, (struct sotto_relay_store * s), (s))
WAY(enum sotto_err, sotto_rs_checkpoint_rest, (struct sotto_relay_store * s), (s))
WAY_VOID(sotto_relay_synced, (struct sotto_relay * r), (r))
WAY(bool, sotto_relay_wants_input, (struct sotto_relay_conn * c), (c))
WAY_VOID(sotto_relay_sent, (struct sotto_relay_conn * c, size_t pending), (c, pending))
WAY_VOID(sotto_relay_tick, (struct sotto_relay * r), (r))
WAY_VOID(sotto_relay_shutdown, (struct sotto_relay * r), (r))

WAY(enum sotto_err, sotto_profile_open,
    (const char *dir, const struct sotto_secret32 *key, bool create, const char *vfs,
     struct sotto_profile **ret, char *why, size_t room),
    (dir, key, create, vfs, ret, why, room))
WAY_VOID(sotto_profile_close, (struct sotto_profile * p), (p))
WAY_VOID(sotto_engine_free, (struct sotto_engine * e), (e))
WAY_VOID(sotto_engine_call, (struct sotto_engine * e, const struct sotto_call *call), (e, call))
WAY(enum sotto_err, sotto_engine_certificate,
    (struct sotto_engine * e, struct sotto_buf *ret_pem, struct sotto_buf *ret_key),
    (e, ret_pem, ret_key))
WAY_VOID(sotto_engine_connecting, (struct sotto_engine * e), (e))
WAY_VOID(sotto_engine_connected, (struct sotto_engine * e, const struct sotto_engine_tls *tls),
         (e, tls))
WAY_VOID(sotto_engine_frame, (struct sotto_engine * e, const uint8_t *body, size_t len),
         (e, body, len))
WAY_VOID(sotto_engine_disconnected,
         (struct sotto_engine * e, enum sotto_err why, const char *text, const uint8_t *pin,
          uint32_t retry_ms),
         (e, why, text, pin, retry_ms))
WAY_VOID(sotto_engine_tick, (struct sotto_engine * e), (e))
WAY_VOID(sotto_engine_goodbye, (struct sotto_engine * e), (e))
WAY(struct sotto_event *, sotto_event_new,
    (uint32_t request, enum sotto_event_type type, const void *row), (request, type, row))
WAY(enum sotto_err, sotto_cert_client_load,
    (const struct sotto_bytes *pem, const struct sotto_bytes *der, struct sotto_cert **ret),
    (pem, der, ret))

/* --- and out: what the engine calls is the rig's --- */

static const struct sotto_engine_ops *rig_ops;

static bool on_emit(void *ctx, struct sotto_ref to, enum sotto_event_type type, const void *row)
{
    int was = inside;
    bool said;

    inside = 0;
    said = rig_ops->emit(ctx, to, type, row);
    inside = was;
    return said;
}

static void on_hang_up(void *ctx)
{
    int was = inside;

    inside = 0;
    rig_ops->hang_up(ctx);
    inside = was;
}

static void on_connect_now(void *ctx)
{
    int was = inside;

    inside = 0;
    rig_ops->connect_now(ctx);
    inside = was;
}

enum sotto_err __real_sotto_engine_new(const struct sotto_env *env, struct sotto_profile *profile,
                                       const struct sotto_engine_ops *ops, void *ctx,
                                       struct sotto_engine **ret);
enum sotto_err __wrap_sotto_engine_new(const struct sotto_env *env, struct sotto_profile *profile,
                                       const struct sotto_engine_ops *ops, void *ctx,
                                       struct sotto_engine **ret);
enum sotto_err __wrap_sotto_engine_new(const struct sotto_env *env, struct sotto_profile *profile,
                                       const struct sotto_engine_ops *ops, void *ctx,
                                       struct sotto_engine **ret)
{
    static const struct sotto_engine_ops own = {
        .emit = on_emit,
        .hang_up = on_hang_up,
        .connect_now = on_connect_now,
    };
    enum sotto_err e;

    rig_ops = ops;
    inside++;
    e = __real_sotto_engine_new(env, profile, &own, ctx, ret);
    inside--;
    return e;
}
