/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_FUZZ_RELAY_GUEST_H
#define SOTTO_TESTS_FUZZ_RELAY_GUEST_H

#include <stdio.h>
#include <stdlib.h>

#include "relay_rig.h"

/* A promise; the fuzzer keeps the input that breaks it. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * What fuzz_relay.c's parties do not do: accounts that come and go. Two people with two devices
 * each sign up by OPAQUE, log in, link, revoke, upload keys, hand out tokens and delete themselves,
 * right or wrong in one part of it, as the input says; and an operator who disables, deletes,
 * kicks, makes invites, changes the configuration and restarts the relay. Nothing is promised to
 * them, but whatever they do breaks no promise to others.
 */
struct guest_owner {
    void (*turn)(void); /* commits; the relay may be another one afterwards */
    void (*restart)(void);
};

/* Once, while the relay that every input starts with runs. */
void guest_make(struct rig *r);
/* Before each input. */
void guest_begin(struct rig *r, const struct guest_owner *owner);
void guest_step(struct sotto_reader *in);
void guest_operate(struct sotto_reader *in, const char *const *parties, size_t count);
/* Takes what came for them. */
void guest_read(void);
/* The relay's end of their connections is gone. */
void guest_forget(void);
/* The least lifetime of mail that was configured, in days. */
uint32_t guest_lifetime(void);
/* How the relay is configured at first; parties that were disabled are enabled. */
void guest_calm(const char *const *parties, size_t count);

#endif
