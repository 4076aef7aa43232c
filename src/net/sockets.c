/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sockets.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TURN_EVENTS = 256, HEAP_FIRST = 64 };

struct sotto_sockets {
    uv_loop_t *uv;
    int epoll_fd;
    struct epoll_event *left; /* of this turn; those of sockets that ended are emptied */
    int left_count;
    uint32_t count, room, waiting;
    struct sotto_socket **heap; /* room for all of them, so that setting a deadline cannot fail */
};

/* Readiness */

static int from_epoll(uint32_t epoll, int watched)
{
    if (epoll & (EPOLLERR | EPOLLHUP)) /* whatever is tried next finds it */
        return watched;
    return ((epoll & EPOLLIN ? UV_READABLE : 0) | (epoll & EPOLLOUT ? UV_WRITABLE : 0)) & watched;
}

static uint32_t to_epoll(int events)
{
    return (events & UV_READABLE ? (uint32_t)EPOLLIN : 0) |
           (events & UV_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

static void tell(struct sotto_socket *s, uint32_t epoll)
{
    int events = from_epoll(epoll, s->events);
    bool broken = (epoll & EPOLLERR) != 0;

    if (broken) /* it would be reported again and again */
        (void)sotto_socket_watch(s, 0);
    if (events != 0)
        s->ops->ready(s, events, broken);
}

bool sotto_socket_watch(struct sotto_socket *s, int uv_events)
{
    struct epoll_event ev = {.events = to_epoll(uv_events), .data.ptr = s};
    int op = s->events == 0 ? EPOLL_CTL_ADD : uv_events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (uv_events == s->events)
        return true;
    if (epoll_ctl(s->all->epoll_fd, op, s->fd, &ev) != 0)
        return false;
    s->events = (uint8_t)uv_events;
    return true;
}

void sotto_socket_open(struct sotto_socket *s, int fd)
{
    s->fd = fd;
}

void sotto_socket_release(struct sotto_socket *s)
{
    struct sotto_sockets *all = s->all;

    (void)sotto_socket_watch(s, 0);
    for (int i = 0; i < all->left_count; i++)
        if (all->left[i].data.ptr == s)
            all->left[i].data.ptr = NULL;
    s->fd = -1;
    s->events = 0;
}

void sotto_socket_close(struct sotto_socket *s)
{
    int fd = s->fd;

    if (fd < 0)
        return;
    sotto_socket_release(s);
    close(fd);
}

/* Deadlines: a binary heap, the earliest first */

static void put(struct sotto_sockets *all, struct sotto_socket *s, uint32_t slot)
{
    all->heap[slot] = s;
    s->slot = slot;
}

static void sift_up(struct sotto_sockets *all, struct sotto_socket *s, uint32_t slot)
{
    for (; slot > 0 && s->due < all->heap[(slot - 1) / 2]->due; slot = (slot - 1) / 2)
        put(all, all->heap[(slot - 1) / 2], slot);
    put(all, s, slot);
}

static void sift_down(struct sotto_sockets *all, struct sotto_socket *s, uint32_t slot)
{
    for (;;) {
        uint32_t child = 2 * slot + 1;

        if (child + 1 < all->waiting && all->heap[child + 1]->due < all->heap[child]->due)
            child++;
        if (child >= all->waiting || s->due <= all->heap[child]->due)
            break;
        put(all, all->heap[child], slot);
        slot = child;
    }
    put(all, s, slot);
}

static void heap_remove(struct sotto_sockets *all, struct sotto_socket *s)
{
    struct sotto_socket *last = all->heap[--all->waiting];
    uint32_t slot = s->slot;

    if (last == s)
        return;
    sift_up(all, last, slot);
    sift_down(all, last, last->slot);
}

void sotto_socket_due(struct sotto_socket *s, uint64_t at)
{
    struct sotto_sockets *all = s->all;
    bool waits = s->due != UINT64_MAX;

    if (at == s->due)
        return;
    s->due = at;
    if (at == UINT64_MAX) {
        heap_remove(all, s);
        return;
    }
    sift_up(all, s, waits ? s->slot : all->waiting++);
    sift_down(all, s, s->slot);
}

int sotto_sockets_timeout(const struct sotto_sockets *all)
{
    uint64_t now = uv_now(all->uv), first;

    if (all->waiting == 0)
        return -1;
    first = all->heap[0]->due;
    if (first <= now)
        return 0;
    return first - now < INT_MAX ? (int)(first - now) : INT_MAX;
}

/* Turns */

static void tell_expired(struct sotto_sockets *all)
{
    while (all->waiting > 0 && all->heap[0]->due <= uv_now(all->uv)) {
        struct sotto_socket *s = all->heap[0];

        sotto_socket_due(s, UINT64_MAX);
        s->ops->expired(s);
    }
}

void sotto_sockets_turn(struct sotto_sockets *all, int timeout_ms)
{
    struct epoll_event found[TURN_EVENTS];
    int n = epoll_wait(all->epoll_fd, found, TURN_EVENTS, timeout_ms);

    uv_update_time(all->uv);
    for (int i = 0; i < n; i++) {
        all->left = found + i + 1;
        all->left_count = n - i - 1;
        if (found[i].data.ptr != NULL)
            tell(found[i].data.ptr, found[i].events);
    }
    all->left_count = 0;
    tell_expired(all);
}

/* Life */

enum sotto_err sotto_socket_init(struct sotto_socket *s, struct sotto_sockets *all,
                                 const struct sotto_socket_ops *ops)
{
    if (all->count == all->room) {
        uint32_t room = all->room == 0 ? HEAP_FIRST : 2 * all->room;
        struct sotto_socket **heap = realloc(all->heap, room * sizeof(struct sotto_socket *));

        if (heap == NULL)
            return SOTTO_ERR_NOMEM;
        all->heap = heap;
        all->room = room;
    }
    all->count++;
    *s = (struct sotto_socket){.all = all, .ops = ops, .due = UINT64_MAX, .fd = -1};
    return SOTTO_OK;
}

void sotto_socket_end(struct sotto_socket *s)
{
    sotto_socket_close(s);
    sotto_socket_due(s, UINT64_MAX);
    s->all->count--;
}

struct sotto_sockets *sotto_sockets_new(uv_loop_t *uv)
{
    struct sotto_sockets *all = calloc(1, sizeof *all);

    if (all == NULL)
        return NULL;
    all->uv = uv;
    if ((all->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) {
        free(all);
        return NULL;
    }
    return all;
}

void sotto_sockets_free(struct sotto_sockets *all)
{
    if (all == NULL)
        return;
    close(all->epoll_fd);
    free(all->heap);
    free(all);
}

int sotto_sockets_fd(const struct sotto_sockets *all)
{
    return all->epoll_fd;
}
