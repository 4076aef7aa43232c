/* SPDX-License-Identifier: Apache-2.0 */
/* Each probe is a process of its own that enters the sandbox and then tries something. */
#include "run/relay/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/secret.h"
#include "folder.h"
#include "net/cert.h"
#include "store/relay_store.h"

static struct folder data, outside;
static struct sotto_sandbox active;
static int listening = -1, to_child[2], to_parent[2];
static pid_t parent;

/* 0: as it should be; else what the shell would say about it. */
typedef int probe_fn(void);

static int setup(void **state)
{
    folder_make(&data);
    folder_make(&outside);
    file_write(folder_file(&outside, "config"), "registration = open\n", 20);
    file_write(folder_file(&outside, "secret"), "secret", 6);
    assert_int_equal(mkdir(folder_file(&outside, "ro"), 0700), 0);
    file_write(folder_file(&outside, "ro/config"), "one", 3);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listening >= 0);
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(to_parent), 0);
    parent = getpid();
    return 0;
}

static int teardown(void **state)
{
    close(listening);
    for (int i = 0; i < 2; i++) {
        close(to_child[i]);
        close(to_parent[i]);
    }
    folder_remove(&data);
    folder_remove(&outside);
    return 0;
}

static int enter(void)
{
    struct sotto_sandbox_paths paths = {.data = data.path, .readable_count = 2};

    paths.readable[0] = folder_file(&outside, "config");
    paths.readable[1] = folder_file(&outside, "ro");
    return sotto_sandbox_enter(&paths, &active) == 0 ? 0 : 99;
}

/* How it ended: the exit code, or 1000 and the signal. */
static int tried(probe_fn *probe)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        sotto_secret_harden_process(); /* no core file of a probe that is killed */
        _exit(enter() != 0 ? 99 : probe());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int has_seccomp(void)
{
    return active.seccomp ? 0 : 1;
}
static int has_landlock(void)
{
    return active.landlock > 0 ? 0 : 1;
}

static bool lacks(probe_fn *part, const char *what)
{
    if (tried(part) == 0)
        return false;
    printf("skip: %s\n", what);
    return true;
}
#define NEED_SECCOMP                                                                               \
    if (lacks(has_seccomp, "no seccomp in this build or kernel"))                                  \
    skip()
#define NEED_LANDLOCK                                                                              \
    if (lacks(has_landlock, "no Landlock in this build or kernel"))                                \
    skip()

/* --- what ends the process --- */

static int run_program(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}
static int look_into_another(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int read_another(void)
{
    return (int)syscall(__NR_process_vm_readv, parent, NULL, 0, NULL, 0, 0);
}
static int mount_something(void)
{
    return (int)syscall(__NR_mount, "none", "/", "tmpfs", 0, NULL);
}
static int become_root(void)
{
    return (int)syscall(__NR_setresuid, 0, 0, 0);
}
static int load_bpf(void)
{
    return (int)syscall(__NR_bpf, 0, NULL, 0);
}
static int other_architecture(void)
{
#if defined(__x86_64__)
    return (int)syscall(0x40000000 + __NR_getpid); /* x32 */
#else
    return (int)syscall(__NR_ptrace, 0, 0, 0, 0);
#endif
}

static void what_ends_it(void **state)
{
    static probe_fn *const probes[] = {run_program,       look_into_another, read_another,
                                       mount_something,   become_root,       load_bpf,
                                       other_architecture};

    NEED_SECCOMP;
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++)
        assert_int_equal(tried(probes[i]), 1000 + SIGSYS);
}

/* --- what is refused --- */

static int is(long got, int error)
{
    return got == -1 && errno == error ? 0 : errno == 0 ? 1 : errno;
}

static int open_socket(void)
{
    return is(socket(AF_INET, SOCK_STREAM, 0), EPERM);
}
static int listen_elsewhere(void)
{
    return is(listen(listening, 1), EPERM);
}
static int call_somebody(void)
{
    struct sockaddr a = {.sa_family = AF_INET};

    return is(connect(listening, &a, sizeof a), EPERM);
}
static int make_process(void)
{
    return is(fork(), EPERM);
}
static int write_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return is(p == MAP_FAILED ? -1 : 0, EPERM);
}
static int make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? 98 : is(mprotect(p, 4096, PROT_READ | PROT_EXEC), EPERM);
}
static int kill_parent(void)
{
    return is(kill(parent, SIGTERM), ENOSYS);
}
static int kill_thread_of_parent(void)
{
    return is(syscall(__NR_tgkill, parent, parent, SIGTERM), EPERM);
}
static int raise_limit(void)
{
    const struct rlimit r = {100, 100};

    return is(setrlimit(RLIMIT_NOFILE, &r), EPERM);
}
static int type_into_terminal(void)
{
    return is(syscall(__NR_ioctl, 0, 0x5412 /* TIOCSTI */, "x"), EPERM);
}
static int dump_core_again(void)
{
    return is(syscall(__NR_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0), EPERM);
}
static int no_io_uring(void)
{
    return is(syscall(425 /* io_uring_setup */, 8, NULL), ENOSYS);
}

static void what_is_refused(void **state)
{
    static probe_fn *const probes[] = {
        open_socket,        listen_elsewhere, call_somebody, make_process,
        write_code,         make_code,        kill_parent,   raise_limit,
        type_into_terminal, dump_core_again,  no_io_uring,   kill_thread_of_parent,
    };

    NEED_SECCOMP;
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        int got = tried(probes[i]);

        if (got != 0)
            printf("# probe %zu\n", i);
        assert_int_equal(got, 0);
    }
}

/* --- files --- */

static int can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int open_outside(void)
{
    return can_open("/etc/passwd", O_RDONLY) == EACCES ? 0 : 1;
}
static int open_neighbour(void)
{
    return can_open(folder_file(&outside, "secret"), O_RDONLY) == EACCES ? 0 : 1;
}
static int make_outside(void)
{
    return can_open(folder_file(&outside, "new"), O_WRONLY | O_CREAT) == EACCES ? 0 : 1;
}
static int write_config(void)
{
    return can_open(folder_file(&outside, "config"), O_WRONLY) == EACCES ? 0 : 1;
}
static int remove_config(void)
{
    return is(unlink(folder_file(&outside, "ro/config")), EACCES);
}
static int move_out(void)
{
    file_write(folder_file(&data, "mine"), "m", 1);
    /* EXDEV is what Landlock says of a move to where less is allowed. */
    return rename(folder_file(&data, "mine"), folder_file(&outside, "mine")) == -1 &&
                   (errno == EXDEV || errno == EACCES)
               ? 0
               : 1;
}
static int read_config(void)
{
    return can_open(folder_file(&outside, "config"), O_RDONLY);
}
static int random_device(void)
{
    return can_open("/dev/urandom", O_RDONLY);
}

static void files_outside(void **state)
{
    static probe_fn *const probes[] = {open_outside,  open_neighbour, make_outside, write_config,
                                       remove_config, move_out,       read_config,  random_device};

    NEED_LANDLOCK;
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        int got = tried(probes[i]);

        if (got != 0)
            printf("# probe %zu\n", i);
        assert_int_equal(got, 0);
    }
    assert_false(file_exists(folder_file(&outside, "new")));
    assert_true(file_exists(folder_file(&outside, "ro/config")));
}

static int read_after_replacing(void)
{
    char c, text[4] = "";
    int fd;

    if (write(to_parent[1], "x", 1) != 1 || read(to_child[0], &c, 1) != 1)
        return 98;
    fd = open(folder_file(&outside, "ro/config"), O_RDONLY);
    return fd >= 0 && read(fd, text, 3) == 3 && strcmp(text, "two") == 0 ? 0 : 1;
}

/* An editor writes a new file and renames it; that is another file for the kernel. */
static void config_replaced_meanwhile(void **state)
{
    char c;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(enter() != 0 ? 99 : read_after_replacing());
    assert_int_equal(read(to_parent[0], &c, 1), 1);
    file_write(folder_file(&outside, "ro/config.new"), "two", 3);
    assert_int_equal(
        rename(folder_file(&outside, "ro/config.new"), folder_file(&outside, "ro/config")), 0);
    assert_int_equal(write(to_child[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- what goes on working --- */

static int store_works(void)
{
    struct sotto_relay_store *s;
    uint32_t epoch = 0;
    char why[256];

    if (sotto_rs_open(folder_file(&data, "relay.db"), true, NULL, &s, why, sizeof why) != 0)
        return 1;
    if (sotto_rs_boot(s, &epoch) != 0 || sotto_rs_begin(s) != 0 ||
        sotto_rs_links_expire(s, 0) != 0 || sotto_rs_commit(s) != 0 ||
        sotto_rs_address_put(s, "relay.example.org:12345") != 0)
        return 2;
    sotto_rs_close(s);
    return file_exists(folder_file(&data, "relay.db")) ? 0 : 3;
}

static int certificate_works(void)
{
    struct sotto_cert *c;
    char why[512];

    if (sotto_cert_server(folder_file(&data, "cert"), "localhost", &c, why, sizeof why) != 0)
        return 1;
    sotto_cert_free(c);
    if (sotto_cert_server(folder_file(&data, "cert"), "localhost", &c, why, sizeof why) != 0)
        return 2;
    sotto_cert_free(c);
    return 0;
}

static void *in_thread(void *arg)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 || active.landlock == 0 ? arg : NULL;
}

/* Threads can be made, and are bound as well. */
static int threads_work(void)
{
    pthread_t t;
    void *got = NULL;
    int arg;

    if (pthread_create(&t, NULL, in_thread, &arg) != 0 || pthread_join(t, &got) != 0)
        return 1;
    return got == &arg ? 0 : 2;
}

static int limits_are_seen(void)
{
    struct rlimit r;

    return getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur > 0 ? 0 : 1;
}

static int end_by_abort(void)
{
    abort();
}

static void what_goes_on(void **state)
{
    static probe_fn *const probes[] = {store_works, certificate_works, threads_work,
                                       limits_are_seen};

    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        int got = tried(probes[i]);

        if (got != 0)
            printf("# probe %zu\n", i);
        assert_int_equal(got, 0);
    }
    assert_int_equal(tried(end_by_abort), 1000 + SIGABRT);
}

/* --- asking for it --- */

static void *waits(void *arg)
{
    char c;

    return read(to_child[0], &c, 1) == 1 ? arg : NULL;
}

static int enter_late(void)
{
    struct sotto_sandbox_paths paths = {.data = data.path};
    struct sotto_sandbox s;
    pthread_t t;

    if (pthread_create(&t, NULL, waits, NULL) != 0)
        return 1;
    return sotto_sandbox_enter(&paths, &s) == SOTTO_ERR_BUG ? 0 : 2;
}

/* Landlock would leave them out: whoever asks for it too late hears that. */
static void after_threads(void **state)
{
    int status;
    pid_t pid;

    NEED_SECCOMP;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(enter_late());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- kernels and containers that have less --- */

/* From here on these calls give that error, as in a container whose own filter does not know them.
 */
static bool without(int first, int last, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = sizeof code / sizeof code[0], .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0;
}

static int less(void)
{
    /* 444 to 446 are Landlock's. */
    static const struct {
        int first, last, error;
        bool seccomp, landlock;
    } table[] = {
        {444, 446, ENOSYS, true, false},
        {444, 446, EPERM, true, false},
        {444, 446, EOPNOTSUPP, true, false},
        {__NR_seccomp, __NR_seccomp, EPERM, false, true},
        {__NR_seccomp, __NR_seccomp, ENOSYS, false, true},
    };
    int status;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        pid_t pid = fork();

        if (pid < 0)
            return 97;
        if (pid == 0)
            _exit(!without(table[i].first, table[i].last, table[i].error) ? 96
                  : enter() != 0                                          ? 95
                  : active.seccomp == table[i].seccomp && (active.landlock > 0) == table[i].landlock
                      ? store_works()
                      : 94);
        if (waitpid(pid, &status, 0) != pid || status != 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 93;
    }
    return 0;
}

static void where_there_is_less(void **state)
{
    NEED_SECCOMP;
    NEED_LANDLOCK;
    assert_int_equal(less(), 0);
}

static void data_folder_missing(void **state)
{
    int status;
    pid_t pid;

    NEED_LANDLOCK;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sotto_sandbox_paths paths = {.data = folder_file(&outside, "nothing")};
        struct sotto_sandbox s;

        _exit(sotto_sandbox_enter(&paths, &s) != 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void readable_around(void **state)
{
    char got[4096], wanted[4096], *link;

    assert_non_null(realpath(folder_file(&outside, "ro"), wanted));
    assert_true(sotto_sandbox_around(folder_file(&outside, "ro/config"), got, sizeof got));
    assert_string_equal(got, wanted);
    link = strdup(folder_file(&data, "link"));
    assert_int_equal(symlink(folder_file(&outside, "ro/config"), link), 0);
    assert_true(sotto_sandbox_around(link, got, sizeof got));
    assert_string_equal(got, wanted);
    free(link);
    assert_true(sotto_sandbox_around("/etc/passwd", got, sizeof got));
    assert_string_equal(got, "/etc/passwd");
    assert_false(sotto_sandbox_around(folder_file(&outside, "nothing"), got, sizeof got));
}

static void description(void **state)
{
    static const struct {
        struct sotto_sandbox s;
        const char *says;
    } table[] = {
        {{.available = false}, "none in this build"},
        {{.available = true, .seccomp = true, .landlock = 7}, "seccomp, Landlock 7"},
        {{.available = true, .seccomp = true}, "no Landlock"},
        {{.available = true, .landlock = 1}, "no seccomp"},
    };
    char line[256];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        sotto_sandbox_describe(&table[i].s, line, sizeof line);
        assert_non_null(strstr(line, table[i].says));
        assert_true(strlen(line) < sizeof line - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(files_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(config_replaced_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(what_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(after_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(where_there_is_less, setup, teardown),
        cmocka_unit_test_setup_teardown(data_folder_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(readable_around, setup, teardown),
        cmocka_unit_test(description),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
