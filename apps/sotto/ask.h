/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_ASK_H
#define SOTTO_APP_ASK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Questions to the person at the terminal, whatever stdin and stdout are connected to. While a
 * secret is typed there is no echo; the terminal is put right again before any signal acts.
 */

/* Is there somebody who could answer? */
bool sotto_ask_possible(void);
/* Puts the question and reads a line into ret (room bytes, without line break; longer: asked
 * again). False at the end of input. */
bool sotto_ask_line(const char *question, char *ret, size_t room);
/* The same without echo. */
bool sotto_ask_secret(const char *question, char *ret, size_t room);
/* "yes" or "y"; everything else is no. */
bool sotto_ask_yes(const char *question);
/* A line for the person. */
void sotto_ask_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
