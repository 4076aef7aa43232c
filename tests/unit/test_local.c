/* SPDX-License-Identifier: Apache-2.0 */
#include "run/local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

enum { NOBODY = 65534, QUEUE = 4, GUARD_S = 20 };
#define NAME "a.sock"

static struct folder dir;
static struct sotto_loop *loop;
static struct sotto_local *local;
static int came;
static unsigned who;

static int setup(void **state)
{
    alarm(GUARD_S);
    folder_make(&dir);
    loop = sotto_loop_new();
    assert_non_null(loop);
    came = 0;
    return 0;
}

static int teardown(void **state)
{
    if (geteuid() != getuid())
        assert_int_equal(seteuid(getuid()), 0);
    sotto_local_free(local);
    local = NULL;
    sotto_loop_free(loop);
    folder_remove(&dir);
    alarm(0);
    return 0;
}

static void on_caller(void *ctx, int fd, unsigned uid)
{
    assert_ptr_equal(ctx, &came);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    came++;
    who = uid;
    (void)send(fd, "x", 1, MSG_NOSIGNAL); /* he may be gone already */
    close(fd);
}

static enum sotto_err listen_in(const char *path, const char *name)
{
    enum sotto_err e = sotto_local_listen(loop, path, name, QUEUE, on_caller, &came, &local);

    sotto_loop_dispatch(loop);
    return e;
}

static enum sotto_err knock_at(const char *path, const char *name)
{
    int fd;
    enum sotto_err e = sotto_local_connect(path, name, 0, &fd);

    if (e == 0) {
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        close(fd);
    }
    return e;
}

static void step(int timeout_ms)
{
    struct pollfd p = {.fd = sotto_loop_fd(loop), .events = POLLIN};

    (void)poll(&p, 1, timeout_ms);
    sotto_loop_dispatch(loop);
}

static void what_was_left_behind_is_replaced(void **state)
{
    const char *path = folder_file(&dir, NAME);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    mode_t before;
    int dead;

    assert_int_equal(knock_at(dir.path, NAME), SOTTO_ERR_NOT_FOUND);
    dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    assert_int_equal(bind(dead, (struct sockaddr *)&at, sizeof at), 0);
    close(dead);
    assert_true(file_exists(path));
    assert_int_equal(knock_at(dir.path, NAME), SOTTO_ERR_NOT_FOUND);
    before = umask(0);
    assert_int_equal(listen_in(dir.path, NAME), 0);
    assert_int_equal(umask(before), 0); /* left as it was */
    assert_int_equal(file_mode(path), 0600);
    assert_int_equal(knock_at(dir.path, NAME), 0);
    while (came == 0)
        step(-1);
    assert_int_equal(who, geteuid());
    sotto_local_free(local);
    local = NULL;
    assert_false(file_exists(path));
    assert_int_equal(knock_at(dir.path, NAME), SOTTO_ERR_NOT_FOUND);
}

/* Where others may write, one of them may have put the socket there. */
static void a_folder_that_others_can_change_is_not_used(void **state)
{
    static const struct {
        mode_t mode;
        enum sotto_err wanted;
    } t[] = {{0700, SOTTO_OK},         {0711, SOTTO_OK},         {0755, SOTTO_OK},
             {0720, SOTTO_ERR_DENIED}, {0702, SOTTO_ERR_DENIED}, {01777, SOTTO_ERR_DENIED}};

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(listen_in(dir.path, NAME), 0); /* for those who connect */
        assert_int_equal(chmod(dir.path, t[i].mode), 0);
        assert_int_equal(knock_at(dir.path, NAME), t[i].wanted);
        sotto_local_free(local);
        local = NULL;
        assert_int_equal(listen_in(dir.path, NAME), t[i].wanted);
        assert_int_equal(file_exists(folder_file(&dir, NAME)), t[i].wanted == 0);
        sotto_local_free(local);
        local = NULL;
        assert_int_equal(chmod(dir.path, 0700), 0);
    }
}

static void a_folder_of_another_is_not_used(void **state)
{
    enum sotto_err listened, knocked;

    if (geteuid() != 0) {
        printf("skip: only root can be somebody else\n");
        skip();
    }
    assert_int_equal(chmod(dir.path, 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    listened = listen_in(dir.path, NAME);
    knocked = knock_at(dir.path, NAME);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(listened, SOTTO_ERR_DENIED);
    assert_int_equal(knocked, SOTTO_ERR_DENIED);
    /* Root works in the folders of others. */
    assert_int_equal(chown(dir.path, NOBODY, NOBODY), 0);
    assert_int_equal(listen_in(dir.path, NAME), 0);
    assert_int_equal(knock_at(dir.path, NAME), 0);
}

static void only_the_name_has_to_be_short(void **state)
{
    char name[SOTTO_LOCAL_NAME + 2], path[1024];
    size_t n = (size_t)snprintf(path, sizeof path, "%s", dir.path);

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(listen_in(dir.path, name), SOTTO_ERR_USAGE);
    assert_int_equal(knock_at(dir.path, name), SOTTO_ERR_USAGE);
    name[SOTTO_LOCAL_NAME] = '\0';
    for (int i = 0; i < 5; i++) {
        n += (size_t)snprintf(path + n, sizeof path - n, "/%0100d", i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(listen_in(path, name), 0);
    assert_int_equal(knock_at(path, name), 0);
    while (came == 0)
        step(-1);
    snprintf(path + n, sizeof path - n, "/none");
    assert_int_equal(knock_at(path, name), SOTTO_ERR_NOT_FOUND);
    sotto_local_free(local);
    local = NULL;
    assert_int_equal(listen_in(path, name), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(listen_in("/dev/null", name), SOTTO_ERR_IO);
}

/* In a process of its own, as that user: 1 when it was let in, 0 when it was not. */
static int knocks_as(unsigned uid)
{
    const char *path = folder_file(&dir, NAME);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int status = 0, fd;
    char byte;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (seteuid(getuid()) != 0 || setuid(uid) != 0 ||
            connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
            _exit(3);
        _exit(recv(fd, &byte, 1, 0) == 1);
    }
    while (waitpid(child, &status, WNOHANG) == 0)
        step(10); /* to see that it ended */
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Also where its mode was opened later. */
static void another_user_is_refused(void **state)
{
    if (geteuid() != 0) {
        printf("skip: only root can be somebody else\n");
        skip();
    }
    assert_int_equal(chown(dir.path, NOBODY, NOBODY), 0);
    assert_int_equal(seteuid(NOBODY), 0); /* the relay of a user of its own */
    assert_int_equal(listen_in(dir.path, NAME), 0);
    assert_int_equal(chmod(folder_file(&dir, NAME), 0666), 0);
    assert_int_equal(chmod(dir.path, 0711), 0);
    assert_int_equal(knocks_as(NOBODY + 1), 0);
    assert_int_equal(came, 0);
    assert_int_equal(knocks_as(NOBODY), 1);
    assert_int_equal(who, NOBODY);
    assert_int_equal(knocks_as(0), 1);
    assert_int_equal(who, 0);
}

static int fill(int *hoard, int room)
{
    int count = 0, fd;

    while (count < room && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        hoard[count++] = fd;
    assert_int_equal(errno, EMFILE);
    return count;
}

/* Who comes waits, and nothing turns for nothing. */
static void without_descriptors_it_rests(void **state)
{
    struct pollfd p = {.fd = sotto_loop_fd(loop), .events = POLLIN};
    struct rlimit before, few;
    int hoard[64], count, fd;

    assert_int_equal(listen_in(dir.path, NAME), 0);
    assert_int_equal(sotto_local_connect(dir.path, NAME, 0, &fd), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    count = fill(hoard, 64);
    for (int i = 0; i < 4; i++)
        sotto_loop_dispatch(loop);
    assert_int_equal(came, 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    while (count > 1)
        close(hoard[--count]);
    while (came == 0)
        step(-1);
    close(fd);
    close(hoard[0]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* A halted process takes as many as its queue has room for. */
static void a_full_queue_is_waited_for_no_longer_than_told(void **state)
{
    int fds[16], count = 0, fd;
    enum sotto_err e;

    assert_int_equal(listen_in(dir.path, NAME), 0);
    while ((e = sotto_local_connect(dir.path, NAME, 0, &fd)) == 0 && count < 16)
        fds[count++] = fd;
    assert_int_equal(e, SOTTO_ERR_AGAIN);
    assert_int_equal(count, QUEUE + 1); /* listen(2): one more */
    assert_int_equal(sotto_local_connect(dir.path, NAME, 20, &fd), SOTTO_ERR_AGAIN);
    while (came < count)
        step(-1);
    assert_int_equal(sotto_local_connect(dir.path, NAME, 20, &fd), 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    close(fd);
    while (count > 0)
        close(fds[--count]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_was_left_behind_is_replaced),
        CASE(a_folder_that_others_can_change_is_not_used),
        CASE(a_folder_of_another_is_not_used),
        CASE(only_the_name_has_to_be_short),
        CASE(another_user_is_refused),
        CASE(without_descriptors_it_rests),
        CASE(a_full_queue_is_waited_for_no_longer_than_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
