/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_REQUEST_H
#define SOTTO_WIRE_REQUEST_H

#include "base/bytes.h"
#include "e2ee/envelope.h"
#include "e2ee/identity.h"
#include "e2ee/prekey.h"

/* Frames: 4-byte big-endian length, then that many bytes. */
#define SOTTO_FRAME_MAX    (128 * 1024)
#define SOTTO_FRAME_HEADER 4

#define SOTTO_LEASE         16
#define SOTTO_TOKEN         16
#define SOTTO_INVITE_CODE   16
#define SOTTO_OPAQUE_RECORD 192
#define SOTTO_PAGE_PREKEYS  32
#define SOTTO_GET_LISTS_MAX 16
#define SOTTO_TOKENS_MAX    64

enum sotto_request_type {
    SOTTO_REQ_SIGN_IN = 10,
    SOTTO_REQ_BEGIN,
    SOTTO_REQ_OPAQUE_REGISTER,
    SOTTO_REQ_REGISTER,
    SOTTO_REQ_OPAQUE_LOGIN,
    SOTTO_REQ_OPAQUE_FINISH,
    SOTTO_REQ_LINK,
    SOTTO_REQ_GET_LINKS,
    SOTTO_REQ_PUT_LIST,
    SOTTO_REQ_GET_LISTS,
    SOTTO_REQ_GET_BUNDLE,
    SOTTO_REQ_PUT_PREKEYS,
    SOTTO_REQ_SUBMIT,
    SOTTO_REQ_ACK,
    SOTTO_REQ_SET_TOKENS,
    SOTTO_REQ_DELETE_ACCOUNT,
    SOTTO_REQ_PING,
    SOTTO_REQ_GOODBYE,
};

typedef char sotto_name[SOTTO_NAME_MAX + 1]; /* valid by grammar, NUL-terminated */

struct sotto_parcel {
    uint64_t device;
    struct sotto_bytes envelope;
    uint32_t lane;
};

/*
 * A checked request. Fixed-size fields have been copied; views point into memory that the request
 * owns (decoded) or the caller owns (to be encoded). One union member per type, same name.
 */
struct sotto_request {
    uint32_t id;
    enum sotto_request_type type;
    union {
        struct {
            sotto_name name;
            uint64_t device;
            uint8_t lease[SOTTO_LEASE];
            uint8_t proof[SOTTO_SIGNATURE];
        } sign_in;
        struct {
            uint64_t committed;
        } begin;
        struct {
            sotto_name name;
            uint8_t request[32];
        } opaque_register;
        struct {
            sotto_name name;
            bool has_code;
            uint8_t code[SOTTO_INVITE_CODE];
            struct sotto_bytes list;
            uint8_t opaque_record[SOTTO_OPAQUE_RECORD];
            struct sotto_bytes signed_prekey; /* SOTTO_PREKEY_BYTES */
            bool has_certificate;
            uint8_t certificate[32];
        } register_;
        struct {
            sotto_name name;
            uint8_t ke1[96];
        } opaque_login;
        struct {
            uint8_t ke3[64];
        } opaque_finish;
        struct {
            struct sotto_bytes entry; /* SOTTO_ENTRY_BYTES */
            struct sotto_bytes signed_prekey;
            bool has_certificate;
            uint8_t certificate[32];
        } link;
        struct {
            struct sotto_bytes list;
        } put_list;
        struct {
            size_t count;
            struct {
                sotto_name name;
                uint32_t version;
            } known[SOTTO_GET_LISTS_MAX];
        } get_lists;
        struct {
            sotto_name name;
            uint64_t device;
        } get_bundle;
        struct {
            struct sotto_bytes signed_prekey; /* n = 0: keep */
            size_t count;
            struct sotto_bytes one_time[SOTTO_PAGE_PREKEYS];
            bool replace;
        } put_prekeys;
        struct {
            sotto_name to;
            uint32_t list_version;
            bool has_token;
            uint8_t token[SOTTO_TOKEN];
            size_t count;
            struct sotto_parcel parcels[SOTTO_DEVICES_MAX];
            bool more;
            bool ephemeral;
        } submit;
        struct {
            uint64_t seq;
        } ack;
        struct {
            size_t add_count, remove_count;
            uint8_t add[SOTTO_TOKENS_MAX][32];
            uint8_t remove[SOTTO_TOKENS_MAX][32];
        } set_tokens;
        struct {
            uint8_t proof[SOTTO_SIGNATURE];
        } delete_account;
    } u;
    void *owner; /* decoded message; NULL when built by the caller */
};

/* Decodes and checks the body of one frame (without the length). On success release with
 * sotto_request_free(), which wipes it. frame may go away afterwards. Only an ack and a goodbye may
 * have id 0. A small frame cannot make this take much memory (wire/proto.h). MALFORMED: sizes,
 * names, counts, one device twice in a submit, an unknown or missing body; NOMEM. */
enum sotto_err sotto_request_decode(const uint8_t *frame, size_t len, struct sotto_request **ret);
void sotto_request_free(struct sotto_request *r); /* NULL is fine; for decoded ones only */
/* Appends length and body. TOO_LARGE: above SOTTO_FRAME_MAX; NOMEM; USAGE: our own decoder would
 * refuse it. buf is unchanged then. */
enum sotto_err sotto_request_encode(const struct sotto_request *r, struct sotto_buf *buf);

#endif
