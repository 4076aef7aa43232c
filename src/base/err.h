/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_ERR_H
#define SOTTO_BASE_ERR_H

#include <stddef.h>

/*
 * The one error type of the house. Zero is success, so calls chain. A code
 * says what the caller can do about it, not which line failed.
 */
#define SOTTO_ERR_LIST(X)                                                                          \
    /* ours: stop or retry */                                                                      \
    X(NOMEM, -1, "out of memory")                                                                  \
    X(RANDOM, -2, "the system's random generator failed")                                          \
    X(IO, -3, "reading or writing failed")                                                         \
    X(BUG, -4, "internal error")                                                                   \
    /* bytes from outside: drop them */                                                            \
    X(TRUNCATED, -10, "message ends too early")                                                    \
    X(MALFORMED, -11, "message is not well formed")                                                \
    X(TOO_LARGE, -12, "larger than allowed")                                                       \
    X(UNSUPPORTED, -13, "needs a newer version of Sotto")                                          \
    /* cryptography: do not act on what came with it */                                            \
    X(BAD_TAG, -20, "does not open: wrong key or altered bytes")                                   \
    X(BAD_SIGNATURE, -21, "signature is not valid")                                                \
    X(BAD_KEY, -22, "public key is not valid")                                                     \
    X(REPLAY, -23, "already received")                                                             \
    X(TOO_FAR, -24, "too far ahead or too old")                                                    \
    X(EXPIRED, -25, "expired")                                                                     \
    X(FORK, -26, "two different versions of one device list")                                      \
    X(NEW_IDENTITY, -27, "the account key has changed")                                            \
    X(PIN, -28, "the relay's key is not among the pinned ones")                                    \
    /* state: tell the person or wait */                                                           \
    X(STATE, -30, "not allowed in this state")                                                     \
    X(NOT_FOUND, -31, "not found")                                                                 \
    X(EXISTS, -32, "already exists")                                                               \
    X(CONFLICT, -33, "changed meanwhile")                                                          \
    X(DENIED, -34, "not allowed")                                                                  \
    X(FULL, -35, "full")                                                                           \
    X(LOCKED, -36, "in use by another process")                                                    \
    X(NEWER, -37, "was written by a newer version")                                                \
    X(USAGE, -38, "used in a wrong way")                                                           \
    X(AGAIN, -39, "try again later")                                                               \
    X(GONE, -40, "no longer there")                                                                \
    /* network */                                                                                  \
    X(DNS, -50, "host name not found")                                                             \
    X(REFUSED, -51, "connection refused")                                                          \
    X(TIMEOUT, -52, "no answer in time")                                                           \
    X(TLS, -53, "TLS failed")                                                                      \
    X(CLOSED, -54, "connection closed")                                                            \
    X(UNREACHABLE, -55, "network unreachable")

enum sotto_err {
    SOTTO_OK = 0,
#define X(name, value, text) SOTTO_ERR_##name = value,
    SOTTO_ERR_LIST(X)
#undef X
};

/* A short English sentence part, static storage; never NULL. */
const char *sotto_err_text(enum sotto_err e);

/* The bare name ("BAD_TAG"), for logs and tests; static storage; never NULL. */
const char *sotto_err_name(enum sotto_err e);

/* Returns e; why holds the text, cut to room. */
enum sotto_err sotto_explain(enum sotto_err e, char *why, size_t room, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
