/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_HTTP_H
#define SOTTO_RUN_RELAY_HTTP_H

#include "base/bytes.h"
#include "net/loop.h"

/*
 * Answers GET requests of programs on this machine, HTTP/1.0, one for each connection. Everything
 * is bounded: so many callers at once (one more, and the oldest is cut off), so many bytes of
 * request, so much time for all of it. A browser that was lured here under a name that is not this
 * machine's is refused (DNS rebinding).
 */
#define SOTTO_HTTP_CALLERS     8
#define SOTTO_HTTP_REQUEST_MAX 2048
#define SOTTO_HTTP_ANSWER_MAX  (256 * 1024)
#define SOTTO_HTTP_PATIENCE_MS 5000

struct sotto_http;

/* path as it was sent, without what follows a '?'. Adds text to ret_body; the status to answer
 * with: 200, 404, 503. */
typedef int sotto_http_fn(void *ctx, const char *path, struct sotto_buf *ret_body);

/* host: a number. Port 0: a free one; *ret_port is the one that is bound. EXISTS, DENIED,
 * UNREACHABLE, IO, NOMEM: why has one line. */
enum sotto_err sotto_http_listen(struct sotto_loop *loop, const char *host, uint16_t port,
                                 sotto_http_fn *fn, void *ctx, struct sotto_http **ret,
                                 uint16_t *ret_port, char *why, size_t room);
void sotto_http_free(struct sotto_http *h); /* NULL is fine */

#endif
