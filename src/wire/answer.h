/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_ANSWER_H
#define SOTTO_WIRE_ANSWER_H

#include "wire/request.h"

#define SOTTO_INCARNATION    16
#define SOTTO_PINS_MAX       4
#define SOTTO_LISTS_IN_FRAME 24 /* a relay gives the newest ones when there are more */
#define SOTTO_LINKS_MAX      8

enum sotto_answer_type {
    SOTTO_ANS_ERROR = 9,
    SOTTO_ANS_HELLO,
    SOTTO_ANS_DONE,
    SOTTO_ANS_SIGNED_IN,
    SOTTO_ANS_OPAQUE_REGISTERED,
    SOTTO_ANS_OPAQUE_CHALLENGE,
    SOTTO_ANS_LOGGED_IN,
    SOTTO_ANS_LINKS,
    SOTTO_ANS_LISTS,
    SOTTO_ANS_BUNDLE,
    SOTTO_ANS_PREKEYS_KEPT,
    SOTTO_ANS_SUBMITTED,
    SOTTO_ANS_DELIVER = 30,
    SOTTO_ANS_EPHEMERAL,
    SOTTO_ANS_LIST_CHANGED,
    SOTTO_ANS_LINK_PENDING,
    SOTTO_ANS_PREKEYS_LOW,
    SOTTO_ANS_CLOSING,
};

/* Same numbers as ErrorCode in relay.proto. An unknown one from a newer relay reads as DENIED. */
enum sotto_relay_error {
    SOTTO_RELAY_BAD_REQUEST = 1,
    SOTTO_RELAY_NOT_SIGNED_IN,
    SOTTO_RELAY_DENIED,
    SOTTO_RELAY_NAME_TAKEN,
    SOTTO_RELAY_NAME_INVALID,
    SOTTO_RELAY_NAME_GONE,
    SOTTO_RELAY_INVITE_UNKNOWN,
    SOTTO_RELAY_INVITE_USED,
    SOTTO_RELAY_INVITE_EXPIRED,
    SOTTO_RELAY_REGISTRATION_CLOSED,
    SOTTO_RELAY_NOT_CONFIGURED,
    SOTTO_RELAY_UNKNOWN_ACCOUNT,
    SOTTO_RELAY_UNKNOWN_DEVICE,
    SOTTO_RELAY_REVOKED,
    SOTTO_RELAY_BAD_PROOF,
    SOTTO_RELAY_WRONG_PASSWORD,
    SOTTO_RELAY_CERTIFICATE,
    SOTTO_RELAY_LIST_CHANGED,
    SOTTO_RELAY_CONFLICT,
    SOTTO_RELAY_TOO_MANY,
    SOTTO_RELAY_UNAVAILABLE,
    SOTTO_RELAY_TOO_LARGE,
};
enum sotto_registration {
    SOTTO_REGISTRATION_UNKNOWN,
    SOTTO_REGISTRATION_INVITE,
    SOTTO_REGISTRATION_CODE,
    SOTTO_REGISTRATION_OPEN,
    SOTTO_REGISTRATION_CLOSED,
};
enum sotto_parcel_state {
    SOTTO_PARCEL_STORED = 1,
    SOTTO_PARCEL_FULL,
    SOTTO_PARCEL_GONE,
    SOTTO_PARCEL_LANE_CLOSED,
    SOTTO_PARCEL_QUOTA,
};
enum sotto_closing {
    SOTTO_CLOSING_SHUTDOWN = 1,
    SOTTO_CLOSING_REVOKED,
    SOTTO_CLOSING_REPLACED,
    SOTTO_CLOSING_PROTOCOL,
    SOTTO_CLOSING_IDLE,
};

/* Who a relay is. Layout "relay hello": u8 version 1 | relay id 32 | incarnation 16 | u8 pins |
 * pins 32 each (SHA-256 of the SPKI: current first, then the next). Signed by the relay id. */
struct sotto_relay_identity {
    uint8_t id[32];
    uint8_t incarnation[SOTTO_INCARNATION];
    size_t pin_count;
    uint8_t pins[SOTTO_PINS_MAX][32];
};

struct sotto_answer {
    uint32_t id; /* 0: pushed */
    enum sotto_answer_type type;
    union {
        struct {
            enum sotto_relay_error code;
            char text[256]; /* valid UTF-8 without control characters, NUL-terminated */
            size_t list_count;
            struct sotto_bytes lists[SOTTO_LISTS_IN_FRAME];
            uint32_t retry_ms;
        } error;
        struct {
            struct sotto_relay_identity relay; /* decode: signature was verified */
            char version[64];
            enum sotto_registration registration;
            uint64_t time_ms; /* the relay's clock, a claim; 0: it does not say */
        } hello;
        struct {
            bool has_previous;
            uint8_t previous_lease[SOTTO_LEASE];
            bool previous_begun;
            uint32_t list_version;
            uint32_t one_time_left;
            uint64_t acked; /* 0: not known (the relay was started since) */
        } signed_in;
        struct {
            uint8_t response[64];
        } opaque_registered;
        struct {
            uint8_t ke2[320];
        } opaque_challenge;
        struct {
            size_t count;
            struct sotto_bytes lists[SOTTO_LISTS_IN_FRAME];
        } logged_in;
        struct {
            size_t count;
            struct {
                struct sotto_bytes entry; /* SOTTO_ENTRY_BYTES */
                uint64_t asked_at_ms;
            } pending[SOTTO_LINKS_MAX];
        } links;
        struct {
            size_t count;
            struct sotto_lists_since {
                sotto_name name;
                bool unknown, gone;
                size_t count;
                struct sotto_bytes lists[SOTTO_LISTS_IN_FRAME];
            } since[SOTTO_GET_LISTS_MAX];
        } lists;
        struct {
            struct sotto_bytes signed_prekey;
            struct sotto_bytes one_time; /* n = 0: none left */
        } bundle;
        struct {
            uint32_t one_time_left;
        } prekeys_kept; /* and prekeys_low */
        struct {
            size_t count;
            struct {
                uint64_t device;
                enum sotto_parcel_state state;
            } results[SOTTO_DEVICES_MAX];
        } submitted;
        struct {
            uint64_t seq;
            struct sotto_bytes envelope; /* 1 .. SOTTO_ENVELOPE_MAX bytes */
            bool request;
        } deliver;
        struct {
            struct sotto_bytes envelope;
        } ephemeral;
        struct {
            struct sotto_bytes list;
        } list_changed;
        struct {
            enum sotto_closing reason;
            char text[256];
        } closing;
    } u;
    void *owner;
};

/*
 * As sotto_request_*. What is pushed has id 0, what answers has another; an error may have either.
 * Decoding a hello verifies its signature: BAD_SIGNATURE, or UNSUPPORTED when its layout is a newer
 * one. UNSUPPORTED is also a body that only a newer relay knows: skip the frame.
 */
enum sotto_err sotto_answer_decode(const uint8_t *frame, size_t len, struct sotto_answer **ret);
void sotto_answer_free(struct sotto_answer *a);
/* A hello is signed while it is encoded: relay_key, whose public part must be the relay id, is
 * needed for that type only, else NULL. */
enum sotto_err sotto_answer_encode(const struct sotto_answer *a,
                                   const struct sotto_sign_pair *relay_key, struct sotto_buf *buf);

#endif
