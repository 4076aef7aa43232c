/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

enum sotto_err sotto_thread_start(pthread_t *ret, void *(*fn)(void *ctx), void *ctx)
{
    sigset_t every, before;
    int sys;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    sys = pthread_create(ret, NULL, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return sys == 0 ? SOTTO_OK : SOTTO_ERR_IO;
}
