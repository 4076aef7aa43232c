/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp filter is a list, made at start: for each number of a system call an answer, or a
 * look at its arguments. The order does not matter for speed: the kernel asks the filter once and
 * remembers which numbers are always allowed.
 *
 * What is not on the list is answered ENOSYS, as by a kernel that does not have it: the C library
 * then takes an older call (clone for clone3, fstat for statx). What is on the list but not in this
 * way (socket, mmap of executable memory) is answered EPERM. The kernel's log names both.
 */
#include "run/relay/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef OWN_ARCH
/* --- which calls --- */

/* All that a relay does: TLS on sockets that it was given, SQLite with its shared memory, the
 * renewal of its certificate, signals, timers, threads. */
static const int allowed[] = {
    /* files */
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_pwrite64,
    __NR_preadv,
    __NR_pwritev,
    __NR_openat,
    __NR_close,
    __NR_lseek,
    __NR_fstat,
    __NR_newfstatat,
    __NR_statx,
    __NR_faccessat,
    __NR_fcntl,
    __NR_flock,
    __NR_fsync,
    __NR_fdatasync,
    __NR_sync_file_range,
    __NR_ftruncate,
    __NR_fallocate,
    __NR_fchmod,
    __NR_fchmodat,
    __NR_fchown,
    __NR_fchownat,
    __NR_mkdirat,
    __NR_unlinkat,
    __NR_renameat2,
    __NR_readlinkat,
    __NR_getdents64,
    __NR_getcwd,
    __NR_statfs,
    __NR_fstatfs,
    __NR_umask,
    __NR_utimensat,
    __NR_dup,
    __NR_dup3,
    __NR_pipe2,
    __NR_renameat,
#ifdef __NR_open /* where the old forms exist, some C library still uses them */
    __NR_open,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_mkdir,
    __NR_rmdir,
    __NR_unlink,
    __NR_rename,
    __NR_readlink,
    __NR_chmod,
    __NR_chown,
    __NR_dup2,
    __NR_pipe,
    __NR_poll,
    __NR_select,
    __NR_epoll_wait,
    __NR_epoll_create,
    __NR_eventfd,
    __NR_time,
    __NR_arch_prctl,
#endif
#ifdef __NR_faccessat2
    __NR_faccessat2,
#endif
#ifdef __NR_close_range
    __NR_close_range,
#endif
    /* connections: of sockets that are there, and those that they accept */
    __NR_accept,
    __NR_accept4,
    __NR_recvfrom,
    __NR_recvmsg,
    __NR_recvmmsg,
    __NR_sendto,
    __NR_sendmsg,
    __NR_sendmmsg,
    __NR_shutdown,
    __NR_getsockname,
    __NR_getpeername,
    __NR_getsockopt,
    __NR_setsockopt,
    /* waiting */
    __NR_epoll_create1,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
    __NR_ppoll,
    __NR_pselect6,
    __NR_eventfd2,
    __NR_timerfd_create,
    __NR_timerfd_settime,
    __NR_timerfd_gettime,
    __NR_nanosleep,
    __NR_clock_nanosleep,
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_gettimeofday,
    __NR_restart_syscall,
#ifdef __NR_epoll_pwait2
    __NR_epoll_pwait2,
#endif
    /* memory */
    __NR_brk,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_msync,
    __NR_mlock,
    __NR_mlock2,
    __NR_munlock,
    __NR_membarrier,
    __NR_getrandom,
    /* threads and signals */
    __NR_futex,
    __NR_set_robust_list,
    __NR_get_robust_list,
    __NR_set_tid_address,
    __NR_gettid,
    __NR_getpid,
    __NR_getppid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_exit,
    __NR_exit_group,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_rt_sigpending,
    __NR_rt_sigtimedwait,
    __NR_sigaltstack,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_sched_setaffinity,
    __NR_getcpu,
    __NR_getrusage,
    __NR_uname,
    __NR_sysinfo,
#ifdef __NR_rseq
    __NR_rseq,
#endif
#ifdef __NR_futex_waitv
    __NR_futex_waitv,
#endif
};

/* No mistake of ours and no library comes here: this is somebody else at work. */
static const int fatal[] = {
    __NR_execve,
    __NR_execveat,
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_unshare,
    __NR_setns,
    __NR_bpf,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_kexec_load,
    __NR_reboot,
    __NR_swapon,
    __NR_swapoff,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_keyctl,
    __NR_add_key,
    __NR_request_key,
    __NR_open_by_handle_at,
    __NR_personality,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_setuid,
    __NR_setgid,
    __NR_setreuid,
    __NR_setregid,
    __NR_setresuid,
    __NR_setresgid,
    __NR_setgroups,
    __NR_capset,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
#ifdef __NR_pidfd_getfd
    __NR_pidfd_getfd,
#endif
#ifdef __NR_open_tree
    __NR_open_tree,
    __NR_move_mount,
    __NR_fsopen,
    __NR_fsmount,
#endif
#ifdef __NR_ioperm
    __NR_ioperm,
    __NR_iopl,
    __NR_modify_ldt,
#endif
/* libuv asks for io_uring and does without it when there is none, so asking is no crime; to
 * enter one that we never made is. */
#ifdef __NR_io_uring_enter
    __NR_io_uring_enter,
    __NR_io_uring_register,
#endif
};

/* Would be allowed, but not any more. */
static const int refused[] = {__NR_socket, __NR_socketpair, __NR_bind, __NR_connect, __NR_listen};

/* --- the filter --- */

#define PROGRAM_MAX 640
struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short n;
};

#define LENGTH(a)    (sizeof(a) / sizeof(a)[0])
#define PERM         (SECCOMP_RET_ERRNO | EPERM)
#define LOW_OF(arg)  ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (arg)))
#define HIGH_OF(arg) (LOW_OF(arg) + 4) /* both architectures are little-endian */

static void add(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->n < PROGRAM_MAX)
        p->code[p->n++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct program *p, uint32_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

static void answer(struct program *p, uint32_t what)
{
    add(p, BPF_RET | BPF_K, 0, 0, what);
}

/* What is loaded equals k: this is the answer. */
static void answer_if(struct program *p, uint32_t k, uint32_t what)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k);
    answer(p, what);
}

static void answer_all(struct program *p, const int *numbers, size_t count, uint32_t what)
{
    for (size_t i = 0; i < count; i++)
        answer_if(p, (uint32_t)numbers[i], what);
}

/* The instructions from here to rule_end() are for this call alone. Each rule ends with an answer,
 * and the accumulator holds the number again behind it. */
static unsigned short rule_begin(struct program *p, int number)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)number);
    return (unsigned short)(p->n - 1);
}

static void rule_end(struct program *p, unsigned short at)
{
    p->code[at].jf = (uint8_t)(p->n - at - 1);
}

/* Only when none of these bits is set in an argument. */
static void without_bits(struct program *p, int number, unsigned arg, uint32_t bits)
{
    unsigned short at = rule_begin(p, number);

    load(p, LOW_OF(arg));
    add(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
    answer(p, PERM);
    answer(p, SECCOMP_RET_ALLOW);
    rule_end(p, at);
}

/* Only when an argument is one of these. */
static void one_of(struct program *p, int number, unsigned arg, const uint32_t *values,
                   size_t count)
{
    unsigned short at = rule_begin(p, number);

    load(p, LOW_OF(arg));
    for (size_t i = 0; i < count; i++)
        answer_if(p, values[i], SECCOMP_RET_ALLOW);
    answer(p, PERM);
    rule_end(p, at);
}

/* A thread of this process, never a process. */
static void threads_only(struct program *p)
{
    const uint32_t needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const uint32_t forbidden = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                               CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_PTRACE |
                               CLONE_UNTRACED;
    unsigned short at = rule_begin(p, __NR_clone);

    load(p, LOW_OF(0));
    add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, needed | forbidden);
    answer_if(p, needed, SECCOMP_RET_ALLOW);
    answer(p, PERM);
    rule_end(p, at);
}

/* Looking at limits of our own, not changing them: prlimit(0, which, NULL, old). */
static void limits_read_only(struct program *p)
{
    unsigned short at = rule_begin(p, __NR_prlimit64);

    load(p, LOW_OF(0));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0);
    load(p, LOW_OF(2));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0);
    load(p, HIGH_OF(2));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, PERM);
    rule_end(p, at);
}

static void build(struct program *p)
{
    const uint32_t ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, TCGETS};
    const uint32_t prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS};
    const uint32_t self[] = {(uint32_t)getpid()};

    p->n = 0;
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OWN_ARCH);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    /* The numbers of x32 would walk past the list. */
    add(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000);
    answer(p, SECCOMP_RET_KILL_PROCESS);
#endif
    answer_all(p, allowed, LENGTH(allowed), SECCOMP_RET_ALLOW);
    answer_all(p, fatal, LENGTH(fatal), SECCOMP_RET_KILL_PROCESS);
    answer_all(p, refused, LENGTH(refused), PERM);
    without_bits(p, __NR_mmap, 2, PROT_EXEC);
    without_bits(p, __NR_mprotect, 2, PROT_EXEC);
    one_of(p, __NR_ioctl, 1, ioctls, LENGTH(ioctls));
    one_of(p, __NR_prctl, 0, prctls, LENGTH(prctls));
    one_of(p, __NR_tgkill, 0, self, LENGTH(self)); /* abort() */
    threads_only(p);
    limits_read_only(p);
    answer(p, SECCOMP_RET_ERRNO | ENOSYS);
}

static enum sotto_err filter_on(bool *ret_active)
{
    struct program *p = malloc(sizeof *p);
    struct sock_fprog prog;
    long r;

    if (p == NULL)
        return SOTTO_ERR_NOMEM;
    build(p);
    prog = (struct sock_fprog){.len = p->n, .filter = p->code};
    if (p->n == PROGRAM_MAX) { /* a rule may be missing at its end */
        free(p);
        return SOTTO_ERR_BUG;
    }
    r = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG, &prog);
    if (r != 0 && errno == EINVAL) /* before Linux 4.14 nothing was logged */
        r = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
    *ret_active = r == 0;
    free(p);
    /* A kernel without it, or a container that does not let us have a filter of our own. */
    return r == 0 || errno == EINVAL || errno == ENOSYS || errno == EPERM ? SOTTO_OK : SOTTO_ERR_IO;
}

#else /* no filter was made for this kind of machine */
static enum sotto_err filter_on(bool *ret_active)
{
    *ret_active = false;
    return SOTTO_OK;
}
#endif

/* --- Landlock --- */

/* The system's header may be older than the kernel. include/uapi/linux/landlock.h of Linux. */
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif
enum { CREATE_VERSION = 1, RULE_PATH = 1 };
struct ruleset {
    uint64_t fs, net, scoped; /* what is handled: forbidden unless a rule allows it */
};
struct rule_path {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

#define FS_EXECUTE    (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE  (1ull << 2)
#define FS_READ_DIR   (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE     (1ull << 5)
#define FS_MAKE_DIR   (1ull << 7)
#define FS_MAKE_REG   (1ull << 8)
#define FS_VERSION_1  ((1ull << 13) - 1)
#define FS_REFER      (1ull << 13) /* 2 */
#define FS_TRUNCATE   (1ull << 14) /* 3 */
#define FS_IOCTL_DEV  (1ull << 15) /* 5 */
#define NET_TCP       3ull         /* 4: bind and connect */
#define SCOPE_ALL     3ull         /* 6: abstract sockets and signals */

static uint64_t fs_handled(int version)
{
    uint64_t fs = FS_VERSION_1;

    if (version >= 2)
        fs |= FS_REFER;
    if (version >= 3)
        fs |= FS_TRUNCATE;
    if (version >= 5)
        fs |= FS_IOCTL_DEV;
    return fs;
}

static enum sotto_err allow_path(int rules, const char *path, uint64_t rights)
{
    struct rule_path rule = {.allowed = rights};
    struct stat st;
    enum sotto_err e = SOTTO_OK;

    rule.parent = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent < 0)
        return SOTTO_ERR_NOT_FOUND;
    if (fstat(rule.parent, &st) != 0)
        e = SOTTO_ERR_IO;
    if (!S_ISDIR(st.st_mode)) /* the rights of folders are not for files */
        rule.allowed &= FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE;
    if (e == 0 && syscall(__NR_landlock_add_rule, rules, RULE_PATH, &rule, 0) != 0)
        e = SOTTO_ERR_IO;
    close(rule.parent);
    return e;
}

static enum sotto_err allow_all(int rules, const struct sotto_sandbox_paths *paths,
                                uint64_t handled)
{
    const uint64_t everything = FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR |
                                FS_REMOVE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE;
    const uint64_t reading = FS_READ_FILE | FS_READ_DIR;
    enum sotto_err e = allow_path(rules, paths->data, everything & handled);

    for (size_t i = 0; e == 0 && i < paths->readable_count; i++) {
        e = allow_path(rules, paths->readable[i], reading);
        if (e == SOTTO_ERR_NOT_FOUND)
            e = SOTTO_OK;
    }
    if (e == 0 && allow_path(rules, "/dev/urandom", FS_READ_FILE) == SOTTO_ERR_IO)
        e = SOTTO_ERR_IO;
    return e;
}

static enum sotto_err landlock_on(const struct sotto_sandbox_paths *paths, int *ret_version)
{
    long version = syscall(__NR_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    struct ruleset handled = {0};
    size_t size = sizeof handled.fs;
    enum sotto_err e;
    int rules;

    *ret_version = 0;
    if (version <= 0) /* not built in, or switched off */
        return SOTTO_OK;
    handled.fs = fs_handled((int)version);
    if (version >= 4) {
        handled.net = NET_TCP;
        size += sizeof handled.net;
    }
    if (version >= 6) {
        handled.scoped = SCOPE_ALL;
        size += sizeof handled.scoped;
    }
    rules = (int)syscall(__NR_landlock_create_ruleset, &handled, size, 0);
    if (rules < 0)
        return SOTTO_ERR_IO;
    e = allow_all(rules, paths, handled.fs);
    if (e == 0 && syscall(__NR_landlock_restrict_self, rules, 0) != 0)
        e = SOTTO_ERR_IO;
    close(rules);
    if (e == 0)
        *ret_version = (int)version;
    return e;
}

/* --- both --- */

/* Landlock binds the thread that asks for it and those that it makes. */
static bool has_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    if (d == NULL)
        return false; /* no /proc here: the caller's word stands */
    while ((entry = readdir(d)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count > 1;
}

enum sotto_err sotto_sandbox_enter(const struct sotto_sandbox_paths *paths,
                                   struct sotto_sandbox *ret)
{
    struct sotto_sandbox s = {.available = !SANITIZED};
    enum sotto_err e;

    if (!s.available) {
        *ret = s;
        return SOTTO_OK;
    }
    if (has_threads()) {
        sotto_log_bug("the sandbox was entered after threads were made");
        return SOTTO_ERR_BUG;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return SOTTO_ERR_IO;
    if ((e = landlock_on(paths, &s.landlock)) != 0)
        return e;
    if ((e = filter_on(&s.seccomp)) != 0)
        return e;
    *ret = s;
    return SOTTO_OK;
}

bool sotto_sandbox_around(const char *path, char *ret, size_t room)
{
    char real[PATH_MAX], *slash;
    size_t depth = 0;

    if (realpath(path, real) == NULL)
        return false;
    for (const char *p = real; *p != '\0'; p++)
        depth += *p == '/';
    slash = strrchr(real, '/');
    if (depth > 2 && slash != NULL)
        *slash = '\0';
    return (size_t)snprintf(ret, room, "%s", real) < room;
}

void sotto_sandbox_describe(const struct sotto_sandbox *s, char *ret, size_t room)
{
    static const char lost[] = "somebody who takes the relay over can start programs";
    char files[64];

    if (!s->available) {
        snprintf(ret, room, "sandbox: none in this build, which is for tests (sanitizers)");
        return;
    }
    if (s->landlock > 0)
        snprintf(files, sizeof files, "Landlock %d (the data folder only%s)", s->landlock,
                 s->landlock >= 4 ? ", no calls" : "");
    else
        snprintf(files, sizeof files, "no Landlock in this kernel or container");
    snprintf(ret, room, "sandbox: %s, %s%s%s", s->seccomp ? "seccomp" : "no seccomp here", files,
             s->seccomp ? "" : "; ", s->seccomp ? "" : lost);
}
