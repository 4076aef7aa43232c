/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_COMMANDS_H
#define SOTTO_APP_COMMANDS_H

/* What the table in command.c calls; each group of commands is a file cmd_GROUP.c. */
#include "args.h"
#include "cli.h"

/* cmd_account.c */
enum sotto_result sotto_cmd_register(struct sotto_cli *cli, const struct sotto_args *args);
enum sotto_result sotto_cmd_login(struct sotto_cli *cli, const struct sotto_args *args);
enum sotto_result sotto_cmd_account(struct sotto_cli *cli, const struct sotto_args *args);
uint32_t sotto_cmd_devices(struct sotto_client *c, const struct sotto_args *args, char *why);

/* cmd_message.c */
enum sotto_result sotto_cmd_send(struct sotto_cli *cli, const struct sotto_args *args);
enum sotto_result sotto_cmd_receive(struct sotto_cli *cli, const struct sotto_args *args);
uint32_t sotto_cmd_history(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_delete(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_resend(struct sotto_client *c, const struct sotto_args *args, char *why);

/* cmd_contact.c */
uint32_t sotto_cmd_contacts(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_accept(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_block(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_unblock(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_verify(struct sotto_client *c, const struct sotto_args *args, char *why);

/* cmd_relay.c */
uint32_t sotto_cmd_status(struct sotto_client *c, const struct sotto_args *args, char *why);
uint32_t sotto_cmd_trust_relay(struct sotto_client *c, const struct sotto_args *args, char *why);

/* chat.c, completion.c */
enum sotto_result sotto_cmd_chat(struct sotto_cli *cli, const struct sotto_args *args);
enum sotto_result sotto_cmd_completion(struct sotto_cli *cli, const struct sotto_args *args);
enum sotto_result sotto_cmd_complete(struct sotto_cli *cli, const struct sotto_args *args);

/* A name of an account. False: why. */
bool sotto_cmd_name_fits(const char *name, char *why);
/* A text for send: UTF-8, not empty, at most 32 KiB, no NUL. False: why. */
bool sotto_cmd_text_fits(const char *text, size_t len, char *why);

#endif
