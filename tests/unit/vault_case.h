/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_VAULT_CASE_H
#define SOTTO_TESTS_VAULT_CASE_H

#include "folder.h"
#include "vault/layout.h"
#include "vault/vault.h"

/* A vault in a scratch folder that costs little to open, and what a case says of it. */
#define VAULT_PASSPHRASE "correct horse battery"
extern const struct sotto_vault_cost vault_cheap;
extern struct folder vault_dir;
extern int vault_said; /* lines logged */

int vault_case_setup(void **state);
int vault_case_teardown(void **state);
const char *vault_copy(int which); /* its path; 0: vault, 1: vault.bak */
const struct sotto_secret32 *vault_a_key(void);
size_t vault_bytes(uint32_t serial, const char *passphrase, uint8_t ret[SOTTO_VAULT_FILE_MAX]);
/* The same bytes in both copies. */
size_t vault_put_both(uint32_t serial, uint8_t data[SOTTO_VAULT_FILE_MAX]);
enum sotto_err vault_open_with(const char *passphrase, struct sotto_secret32 *ret);

/* Each fails the case otherwise. */
void vault_opens(void); /* and the key is vault_a_key() */
void vault_refused(enum sotto_err want);
void vault_file_is(const char *path, const uint8_t *want, size_t len);

#endif
