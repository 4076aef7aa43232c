/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_OPERATOR_COMMAND_H
#define SOTTO_RUN_OPERATOR_COMMAND_H

#include "run/relay/options.h"

/*
 * The operator's commands of `sottod`. Each prints its result on stdout, and what is wrong in one
 * line on stderr, and returns the exit code: 0; 1: it could not be done, or is not as it should be.
 */
struct sotto_command_args {
    const struct sotto_relay_options *o;
    const char *config; /* the file that the options came from; NULL: none */
    const char *words[2];
    size_t word_count;
    bool json, yes;
    uint32_t uses; /* of an invite */
    uint64_t lifetime_ms;
};
typedef int sotto_command_fn(const struct sotto_command_args *a);

/* accounts.c */
sotto_command_fn sotto_command_accounts, sotto_command_sessions, sotto_command_kick,
    sotto_command_disable, sotto_command_enable, sotto_command_delete;
/* invite.c */
sotto_command_fn sotto_command_invite, sotto_command_invites, sotto_command_reset;
/* rotate.c */
sotto_command_fn sotto_command_rotate;
/* usage.c */
sotto_command_fn sotto_command_usage;
/* check.c */
sotto_command_fn sotto_command_check, sotto_command_audit;
/* backup.c, restore.c */
sotto_command_fn sotto_command_backup, sotto_command_restore;

#endif
