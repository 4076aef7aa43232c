/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_RELAY_PEOPLE_H
#define SOTTO_BENCH_RELAY_PEOPLE_H

#include "e2ee/identity.h"
#include "wire/request.h"

/*
 * The accounts of a bench relay: u0, u1, ... with one device each. All their keys follow from the
 * number, so that the program that fills a relay and the one that signs in agree without a file.
 */
#define RELAY_PERSON_LIST_VERSION 1

struct relay_person {
    uint32_t number;
    sotto_name name;
    struct sotto_sign_pair device_key;
    uint64_t device;
    uint8_t token[SOTTO_TOKEN]; /* lets anybody submit to it */
};
void relay_person_make(uint32_t number, struct relay_person *ret);

/* What a relay stores about it. */
struct relay_person_records {
    uint8_t account_key[32];
    uint8_t entry[SOTTO_ENTRY_BYTES];
    uint8_t list[SOTTO_LIST_MAX]; /* version RELAY_PERSON_LIST_VERSION, rightly signed */
    size_t list_len;
    uint8_t token_hash[32];
};
enum sotto_err relay_person_records(const struct relay_person *p, const uint8_t relay_id[32],
                                    uint64_t now_ms, struct relay_person_records *ret);

#endif
