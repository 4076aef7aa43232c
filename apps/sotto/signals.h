/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_SIGNALS_H
#define SOTTO_APP_SIGNALS_H

#include <stdbool.h>

/*
 * Signals are read where the program waits, never handled in the middle of something: what is
 * half-written gets finished, the terminal gets its echo back, the relay is told good-bye.
 */

/*
 * From now on SIGINT, SIGTERM and SIGHUP wait to be taken; with terminal also SIGQUIT, SIGTSTP,
 * SIGCONT and SIGWINCH. Returns a descriptor that is readable when one waits; -1 with errno.
 */
int sotto_signals_open(bool terminal);
/* The signal that waits, 0: none. */
int sotto_signals_take(int fd);
/* As if sotto_signals_open() had not been called. Signals that still wait act now. */
void sotto_signals_close(int fd);
/* Ends this process in the way in which the signal would have, so that a shell sees it. */
void sotto_signals_die(int number) __attribute__((noreturn));

#endif
