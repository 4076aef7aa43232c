/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_CONTENT_H
#define SOTTO_WIRE_CONTENT_H

#include "wire/request.h"

#define SOTTO_CONTENT_ID      16
#define SOTTO_CONVERSATION_ID 16
#define SOTTO_TEXT_MAX        (32 * 1024)
#define SOTTO_RECEIPT_IDS     256
#define SOTTO_MEMBERS_MAX     2 /* groups bring their own layout */

enum sotto_content_kind {
    SOTTO_CONTENT_UNKNOWN = 0, /* from a newer client: keep the bytes, show "needs a newer Sotto" */
    SOTTO_CONTENT_TEXT = 20,
    SOTTO_CONTENT_RECEIPT,
    SOTTO_CONTENT_TYPING,
    SOTTO_CONTENT_RETRY,
    SOTTO_CONTENT_CONTACT_SYNC,
    SOTTO_CONTENT_ENTRY_UPDATE,
    SOTTO_CONTENT_GRANT,
};
enum sotto_receipt_state {
    SOTTO_RECEIPT_DELIVERED = 1,
    SOTTO_RECEIPT_READ,
};
enum sotto_contact_state {
    SOTTO_CONTACT_NONE, /* neither a contact nor blocked (any more) */
    SOTTO_CONTACT_REQUEST,
    SOTTO_CONTACT_ACCEPTED,
    SOTTO_CONTACT_BLOCKED,
};
struct sotto_list_name {
    uint32_t version;
    uint8_t hash[32];
};
struct sotto_content {
    uint8_t id[SOTTO_CONTENT_ID];
    uint8_t conversation[SOTTO_CONVERSATION_ID];
    size_t member_count;
    sotto_name members[SOTTO_MEMBERS_MAX];
    uint64_t counter;
    struct sotto_list_name sender_list, recipient_list;
    uint64_t sent_at_ms;
    bool has_token;
    uint8_t delivery_token[SOTTO_TOKEN];
    enum sotto_content_kind kind;
    union {
        struct {
            struct sotto_bytes text; /* valid UTF-8, at most SOTTO_TEXT_MAX bytes */
        } text;
        struct {
            enum sotto_receipt_state state;
            size_t count;
            uint8_t ids[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID];
        } receipt;
        struct {
            bool active;
        } typing;
        struct {
            uint8_t envelope_id[SOTTO_ENVELOPE_ID];
        } retry;
        struct {
            sotto_name name;
            enum sotto_contact_state state;
            bool has_their_token, has_our_token, has_verified_key;
            uint8_t their_token[SOTTO_TOKEN], our_token[SOTTO_TOKEN], verified_key[32];
        } contact_sync;
        struct {
            struct sotto_bytes entry; /* SOTTO_ENTRY_BYTES */
        } entry_update;
    } u;
    void *owner;
};

/* The id of a direct conversation: SHA-256("sotto/1 conversation" NUL || relay id || field8 of both
 * names in byte order)[0..16]. */
void sotto_conversation_direct(const uint8_t relay_id[32], const char *a, const char *b,
                               uint8_t ret[SOTTO_CONVERSATION_ID]);

/* As sotto_request_*; no length prefix, ret_buf gets the bytes appended. TOO_LARGE above
 * SOTTO_CONTENT_MAX. Members must be sorted and distinct, both list versions at least 1; that the
 * conversation is that of the members is checked by the caller (it needs the relay id). An UNKNOWN
 * one cannot be encoded (USAGE): its bytes are kept as they came. */
enum sotto_err sotto_content_decode(const uint8_t *data, size_t len, struct sotto_content **ret);
void sotto_content_free(struct sotto_content *c);
enum sotto_err sotto_content_encode(const struct sotto_content *c, struct sotto_buf *buf);

#endif
