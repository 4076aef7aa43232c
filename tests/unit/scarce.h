/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SCARCE_H
#define SOTTO_TESTS_SCARCE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Memory that runs out once, at a request that the test chooses, and is watched (sim/watch.h). Only
 * requests between scarce_enter() and scarce_leave() count: those of our own code, or those that
 * OpenSSL makes for it. (libuv ends the process when its table of descriptors cannot grow.) One
 * thread.
 */
enum scarce_whose { SCARCE_OURS, SCARCE_OPENSSL };

/* Before anything else in the process. */
void scarce_init(void);
/* The n-th of them from now on gets nothing; 0: all get what they ask for. */
void scarce_from_now(enum scarce_whose whose, unsigned long n);
/* Did that happen? From now on all get what they ask for. */
bool scarce_happened(void);
void scarce_enter(void);
void scarce_leave(void);
/* A callback of the test begins, which gives back at its end what it got here. */
int scarce_callback(void);
void scarce_return(int depth);
/* Blocks that are held, of all of them. */
size_t scarce_blocks(void);

#endif
