/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_GUIDE_H
#define SOTTO_APP_GUIDE_H

#include "cli.h"

/*
 * sotto without a command on a terminal: with an account it goes on to the chat, without one it
 * leads through invite, name and passphrase first.
 */
enum sotto_result sotto_guide(struct sotto_cli *cli);

#endif
