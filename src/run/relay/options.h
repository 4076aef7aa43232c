/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_OPTIONS_H
#define SOTTO_RUN_RELAY_OPTIONS_H

#include "relay/relay.h"

/*
 * The settings of a relay. Flags and the config file have the same names: `--quota-messages 500` on
 * the command line, `quota_messages = 500` in the file.
 */
#define SOTTO_RELAY_LISTEN_MAX 16
#define SOTTO_RELAY_FLAGS_MAX  128
struct sotto_relay_address {
    char host[256];
    uint16_t port; /* 0: a free one (listen), the one that is bound (public) */
};
struct sotto_relay_options {
    char data[1024];
    size_t listen_count; /* 0: everywhere, port 12345 */
    struct sotto_relay_address listen[SOTTO_RELAY_LISTEN_MAX];
    bool has_public;
    struct sotto_relay_address public_address; /* what invites say */
    char user[64];                             /* "": stay who we are */
    uint32_t max_connections;
    /* 0: no limit */
    uint32_t connections_per_address, handshakes_per_minute;
    uint32_t threads;                /* 0: one for each processor, eight at most */
    struct sotto_relay_config relay; /* without the pins */
    bool sandbox;
    bool log_json;
    struct sotto_relay_address metrics; /* loopback; host "": none */

    /* Where all this comes from, so that it can be read again. */
    bool data_named;   /* false: the default of whoever started us, who may be another user now */
    char config[1024]; /* the file; "": none */
    size_t flag_count, listen_from_file;
    struct {
        const char *name, *value; /* borrowed */
    } flags[SOTTO_RELAY_FLAGS_MAX];
};
#define SOTTO_RELAY_MAX_CONNECTIONS 10000
/* A thousand people with two devices behind one address, all back at once after a restart. */
#define SOTTO_RELAY_CONNECTIONS_PER_ADDRESS 3000
#define SOTTO_RELAY_HANDSHAKES_PER_MINUTE   3000

/* The defaults, data folder included. NOT_FOUND: no home folder; then data is "". */
enum sotto_err sotto_relay_options_init(struct sotto_relay_options *o);
/* name: with '_' or '-'. NOT_FOUND: no such setting; MALFORMED: not a value for it. why gets one
 * line without place ("quota_messages has to be a number from 1 to 1000000, not \"x\""). */
enum sotto_err sotto_relay_options_set(struct sotto_relay_options *o, const char *name,
                                       const char *value, char *why, size_t room);
/* "name = value" lines; '#' begins a comment. The first mistake ends it: MALFORMED, with FILE:LINE
 * in why; IO, NOT_FOUND: it cannot be read. o may have been changed then. */
enum sotto_err sotto_relay_options_read(struct sotto_relay_options *o, const char *path, char *why,
                                        size_t room);
/* The same as _set(), for the command line: it is remembered, and addresses to listen on replace
 * those of the file. value has to stay. FULL: too many. */
enum sotto_err sotto_relay_options_flag(struct sotto_relay_options *o, const char *name,
                                        const char *value, char *why, size_t room);
/*
 * Reads the file again and puts the flags above it. Of what is other than in o, ret_now gets o with
 * those settings that can change while the relay runs, and ret_later (later_room bytes) the names
 * of those that need a restart, as "listen, user"; "" when there are none. On any error nothing is
 * written but why.
 */
enum sotto_err sotto_relay_options_reread(const struct sotto_relay_options *o,
                                          struct sotto_relay_options *ret_now, char *ret_later,
                                          size_t later_room, char *why, size_t room);
/* "7d", "12h", "30m", "2w" in milliseconds. MALFORMED: not one, or 0, or above ten years. */
enum sotto_err sotto_relay_duration_parse(const char *text, uint64_t *ret_ms);
/* Digits only. MALFORMED, also outside min and max. */
enum sotto_err sotto_relay_number_parse(const char *text, uint64_t min, uint64_t max,
                                        uint64_t *ret);
/* "HOST:PORT", an IPv6 host in brackets. */
#define SOTTO_RELAY_ADDRESS_TEXT 272
void sotto_relay_address_print(const struct sotto_relay_address *a,
                               char ret[SOTTO_RELAY_ADDRESS_TEXT]);

#endif
