/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SHARED_PROFILE_H
#define SOTTO_TESTS_SHARED_PROFILE_H

#include <stdbool.h>

#include "sotto/sotto.h"

/*
 * A profile that several processes share: its account is one on a relay that is not there, and
 * messages that nobody has read wait in it. Another process, which is started here, may run its
 * engine. What has to work for a test to mean anything fails the case in here.
 */
#define SHARED_PASSPHRASE  "six words that nobody would guess"
#define SHARED_PATIENCE_MS 20000
#define SHARED_MESSAGES    3

struct shared_profile {
    char dir[300];
    int other; /* its pid; 0: there is none */
    /* What came. */
    unsigned done[64], failed[64];         /* by request; failed: of these, for want of memory */
    unsigned message[SHARED_MESSAGES + 1]; /* by number, from 1 */
};

/* full: with account and messages; else an empty folder. */
void shared_make(struct shared_profile *p, bool full);
void shared_remove(struct shared_profile *p);
/* NULL, with a line, when it is refused. */
struct sotto_client *shared_open(const struct shared_profile *p, bool create);
/* Another process that runs the engine until it is killed. */
void shared_start_other(struct shared_profile *p);
void shared_halt_other(struct shared_profile *p);
void shared_end_other(struct shared_profile *p);

void shared_take_all(struct shared_profile *p, struct sotto_client *c);
/* Until the counter has this value. */
void shared_wait(struct shared_profile *p, struct sotto_client *c, const unsigned *counter,
                 unsigned value);
void shared_forget(struct shared_profile *p); /* all that came */

#endif
