/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *list);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __wrap_freeaddrinfo(struct addrinfo *list);

/* Questions come from threads of the product. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int may_answer, answered;

static void add(int *to, int count)
{
    pthread_mutex_lock(&lock);
    *to += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void take(int *from, int count)
{
    pthread_mutex_lock(&lock);
    while (*from < count)
        pthread_cond_wait(&changed, &lock);
    *from -= count;
    pthread_mutex_unlock(&lock);
}

void names_answer(int count)
{
    add(&may_answer, count);
}

void names_wait_answered(int count)
{
    take(&answered, count);
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    struct addrinfo *rest = NULL;
    int r;

    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strstr(host, ".test") == NULL)
        return __real_getaddrinfo(host, service, hints, ret);
    if (strcmp(host, "none.test") == 0)
        return EAI_NONAME;
    if (strcmp(host, "slow.test") == 0) {
        take(&may_answer, 1);
        r = __real_getaddrinfo("127.0.0.1", service, hints, ret);
        add(&answered, 1);
        return r;
    }
    r = __real_getaddrinfo("127.0.0.2", service, hints, ret);
    if (r == 0 && __real_getaddrinfo("127.0.0.1", service, hints, &rest) == 0)
        (*ret)->ai_next = rest;
    return r;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        list->ai_next = NULL;
        __real_freeaddrinfo(list);
        list = next;
    }
}
