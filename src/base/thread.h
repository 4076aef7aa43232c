/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_THREAD_H
#define SOTTO_BASE_THREAD_H

#include <pthread.h>

#include "base/err.h"

/*
 * A thread in which every signal is blocked: they belong to the thread that has the loop, or to a
 * host that knows nothing of ours. To be joined or detached. IO: the system gives no thread.
 */
enum sotto_err sotto_thread_start(pthread_t *ret, void *(*fn)(void *ctx), void *ctx);

#endif
