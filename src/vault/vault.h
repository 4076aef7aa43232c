/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_VAULT_VAULT_H
#define SOTTO_VAULT_VAULT_H

#include <stddef.h>

#include "base/env.h"
#include "base/secret.h"

/*
 * The vault holds one random 32-byte key, wrapped in slots. Today there is one kind of slot: a
 * passphrase (Argon2id, 64 MiB, 3 passes: KEK; AES-256-GCM wraps the key). The layout leaves room
 * for other kinds (USB stick, FIDO2, recovery words) and the policy. Two copies on disk (vault and
 * vault.bak), each under a MAC by a key derived from the vault key; the better one is taken, the
 * other is mended. Files 0600.
 */
#define SOTTO_VAULT_PASSPHRASE_MIN 8    /* characters */
#define SOTTO_VAULT_PASSPHRASE_MAX 1024 /* bytes */

/*
 * Makes the vault in DIR, which exists, and hands out its key. EXISTS: there is one, or a copy of
 * one; USAGE: passphrase too short or too long; NOT_FOUND: no such folder; DENIED: no right to
 * write in it; RANDOM, NOMEM, IO, FULL. No file is left behind then.
 */
enum sotto_err sotto_vault_create(const struct sotto_env *env, const char *dir,
                                  const void *passphrase, size_t len, struct sotto_secret32 *ret);
/*
 * NOT_FOUND: no vault in DIR; BAD_TAG: wrong passphrase; MALFORMED: both copies are damaged
 * (restore one from a backup); NEWER: written by a newer version, use that one; DENIED: readable by
 * others (the log says which file) or not readable for us; IO; NOMEM. A second copy that cannot be
 * mended is logged and no error.
 */
enum sotto_err sotto_vault_open(const char *dir, const void *passphrase, size_t len,
                                struct sotto_secret32 *ret);
/* A key for one use: HKDF-SHA-256(vault key, info "sotto/1 vault " purpose). purpose: a literal of
 * at most 64 characters; "mac" is the vault's own. */
void sotto_vault_derive(const struct sotto_secret32 *vault_key, const char *purpose,
                        struct sotto_secret32 *ret);

#endif
