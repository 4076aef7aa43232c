/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_ADDRESS_H
#define SOTTO_NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address and a port, in 24 bytes: each connection keeps one. */
struct sotto_address {
    uint8_t ip[16]; /* the first 4 for IPv4 */
    uint32_t scope; /* of a link-local IPv6 address */
    uint16_t port;
    bool v6;
};

/* False: neither IPv4 nor IPv6. */
bool sotto_address_from(const struct sockaddr *sa, struct sotto_address *ret);
socklen_t sotto_address_to(const struct sotto_address *a, struct sockaddr_storage *ret);

enum { SOTTO_ADDRESS_TEXT = 64 };
/* "192.0.2.1", "2001:db8::1"; as struct sotto_tls_info has it. */
void sotto_address_text(const struct sotto_address *a, char ret[SOTTO_ADDRESS_TEXT]);
/* With port: "192.0.2.1:12345", "[2001:db8::1]:12345". */
void sotto_address_port_text(const struct sotto_address *a, char ret[SOTTO_ADDRESS_TEXT]);
/* For a name, or an address that is not parsed yet. Cut if longer than room. */
void sotto_host_port_text(const char *host, uint16_t port, char *ret, size_t room);

#endif
