/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_EVIL_MEMORY_H
#define SOTTO_TESTS_EVIL_MEMORY_H

#include "crypto/sign.h"
#include "wire/answer.h"

/*
 * What somebody who runs a relay can keep: every list, pre-key and envelope that went through his
 * hands. And an identity of his own, for whatever he would have others take for somebody else's.
 */
struct evil_account {
    struct evil_account *next;
    sotto_name name;
    size_t list_count;
    struct {
        size_t n;
        uint8_t p[SOTTO_LIST_MAX];
    } lists[8]; /* oldest first */
    bool has_signed, has_one_time;
    uint8_t signed_prekey[SOTTO_PREKEY_BYTES];
    uint8_t one_time[SOTTO_PREKEY_BYTES];
};

#define EVIL_ENVELOPES 64
struct evil_memory {
    struct evil_account *accounts;
    size_t envelope_count; /* of all time; the last EVIL_ENVELOPES are here */
    struct evil_kept {
        size_t n;
        uint8_t *p;
    } envelopes[EVIL_ENVELOPES];
    size_t notice_count; /* the same, of what is passed on and not stored */
    struct evil_kept notices[EVIL_ENVELOPES];
    uint64_t top_seq;

    struct sotto_sign_pair own_account;
    struct sotto_device_keys own_device;
    size_t own_list_len;
    uint8_t own_list[SOTTO_LIST_MAX];
    struct sotto_prekey own_signed, own_one_time;
};

/* Every failure here ends the program: a test has to see it. */
void evil_memory_init(struct evil_memory *m);
void evil_memory_free(struct evil_memory *m);
/* An empty one when there was none. */
struct evil_account *evil_account(struct evil_memory *m, const char *name);
/* What a request shows. name: of whoever makes it. */
void evil_memory_request(struct evil_memory *m, const char *name, const struct sotto_request *q);
void evil_memory_delivery(struct evil_memory *m, const struct sotto_answer *a);
void evil_memory_notice(struct evil_memory *m, const struct sotto_answer *a);
/* own_list becomes a first list under that name, with one device, which is ours. */
void evil_memory_pose(struct evil_memory *m, const uint8_t relay_id[32], const char *name);

/* The entry of our device for somebody else's account, as that device itself would make it. */
void evil_memory_entry(const struct evil_memory *m, const struct sotto_account *account,
                       uint8_t ret[SOTTO_ENTRY_BYTES]);

void evil_fail(const char *what) __attribute__((noreturn));

#endif
