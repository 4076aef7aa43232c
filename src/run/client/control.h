/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_CLIENT_CONTROL_H
#define SOTTO_RUN_CLIENT_CONTROL_H

#include "client/engine.h"
#include "net/loop.h"
#include "run/client/event.h"

/*
 * The control socket DIR/engine.sock (run/local.h: the same user and root only): how a second
 * process hands its calls to the one that runs the engine, and gets its events. Frames: u32 length
 * | body, at most 1 MiB. First frame of the client: u8 version | u8 has passphrase | field16
 * passphrase. A passphrase that is given must be the right one; none is needed, as with an agent
 * that was unlocked. First answer: u8 version | u8 0 welcome, 1 wrong passphrase. Then calls one
 * way, events the other. After a wrong passphrase the next one is looked at after a pause, which
 * grows.
 */
#define SOTTO_CONTROL_MAX (1024 * 1024)

/* --- the engine's side --- */

struct sotto_control;
struct sotto_control_ops {
    bool (*passphrase_right)(void *ctx, const void *passphrase, size_t len);
    void (*call)(void *ctx, const struct sotto_call *call); /* ref.origin is the caller's number */
    void (*gone)(void *ctx, uint32_t origin);
};
/* A socket left behind by a process that was killed is replaced: the caller holds the profile's
 * lock. Errors as of sotto_local_listen(). */
enum sotto_err sotto_control_listen(struct sotto_loop *loop, const char *dir,
                                    const struct sotto_control_ops *ops, void *ctx,
                                    struct sotto_control **ret);
void sotto_control_free(struct sotto_control *c); /* removes the socket */
/* To one caller (to.origin), or with request 0 to all of them. */
void sotto_control_emit(struct sotto_control *c, struct sotto_ref to, enum sotto_event_type type,
                        const void *row);

/* --- the other side --- */

struct sotto_attached;
struct sotto_attached_ops {
    void (*event)(void *ctx, struct sotto_event *e); /* his now */
    void (*gone)(void *ctx);                         /* the engine's process ended */
};
/* Blocks until the engine has answered, at most timeout_ms. NOT_FOUND: nobody listens; BAD_TAG:
 * wrong passphrase; NEWER: an engine of another version, MALFORMED: none; TIMEOUT, IO, NOMEM. */
enum sotto_err sotto_attach(struct sotto_loop *loop, const char *dir, const char *passphrase,
                            int timeout_ms, const struct sotto_attached_ops *ops, void *ctx,
                            struct sotto_attached **ret);
void sotto_attached_free(struct sotto_attached *a);
enum sotto_err sotto_attached_call(struct sotto_attached *a, const struct sotto_call *call);
/* Does somebody listen? */
bool sotto_control_alive(const char *dir);

/* u8 op | u32 request | u32 n[0] | u32 n[1] | four field32. Views of a decoded call point into
 * data. */
enum sotto_err sotto_call_encode(const struct sotto_call *call, struct sotto_buf *buf);
enum sotto_err sotto_call_decode(const uint8_t *data, size_t len, struct sotto_call *ret);

#endif
