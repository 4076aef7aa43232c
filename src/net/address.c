/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

bool sotto_address_from(const struct sockaddr *sa, struct sotto_address *ret)
{
    struct sotto_address a = {0};

    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof in);
        memcpy(a.ip, &in.sin_addr, 4);
        a.port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof in6);
        memcpy(a.ip, &in6.sin6_addr, 16);
        a.port = ntohs(in6.sin6_port);
        a.scope = in6.sin6_scope_id;
        a.v6 = true;
    } else {
        return false;
    }
    *ret = a;
    return true;
}

socklen_t sotto_address_to(const struct sotto_address *a, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    if (a->v6) {
        struct sockaddr_in6 in6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope};

        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(ret, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};

    memcpy(&in.sin_addr, a->ip, 4);
    memcpy(ret, &in, sizeof in);
    return sizeof in;
}

void sotto_address_text(const struct sotto_address *a, char ret[SOTTO_ADDRESS_TEXT])
{
    if (inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->ip, ret, SOTTO_ADDRESS_TEXT) == NULL)
        ret[0] = 0;
}

void sotto_address_port_text(const struct sotto_address *a, char ret[SOTTO_ADDRESS_TEXT])
{
    char ip[SOTTO_ADDRESS_TEXT];

    sotto_address_text(a, ip);
    sotto_host_port_text(ip, a->port, ret, SOTTO_ADDRESS_TEXT);
}

void sotto_host_port_text(const char *host, uint16_t port, char *ret, size_t room)
{
    bool v6 = strchr(host, ':') != NULL;

    snprintf(ret, room, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", (unsigned)port);
}
