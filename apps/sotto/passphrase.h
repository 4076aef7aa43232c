/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_PASSPHRASE_H
#define SOTTO_APP_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "cli.h"

#define SOTTO_PASSPHRASE_MAX 1024

/*
 * The passphrase as --passphrase-file or SOTTO_PASSPHRASE give it, into cli->passphrase. Neither:
 * cli->passphrase stays NULL. SOTTO_PASSPHRASE is wiped from the environment, where every child
 * and /proc would show it. PROFILE: it cannot be read, which was said.
 */
enum sotto_result sotto_passphrase_given(struct sotto_cli *cli);
/* Asks for it; PROFILE with a word on stderr when nobody can answer. */
enum sotto_result sotto_passphrase_ask(struct sotto_cli *cli);
/* For a new profile: asks twice, or makes one up. */
enum sotto_result sotto_passphrase_ask_new(struct sotto_cli *cli);
void sotto_passphrase_forget(struct sotto_cli *cli);

/* Six words that can be pronounced, 16 random bits each. False: no random bytes. */
#define SOTTO_PASSPHRASE_MADE_UP 36
bool sotto_passphrase_make_up(const struct sotto_env *env, char ret[SOTTO_PASSPHRASE_MADE_UP]);

#endif
