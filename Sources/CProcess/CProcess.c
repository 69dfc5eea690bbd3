#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define CPROCESS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CPROCESS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

// Answers a request to be signalled at the parent's end with success, and does not do it. Other calls
// pass at the speed of a bit that the kernel looks up.
static void ignore_end_of_parent(void) {
#ifdef CPROCESS_ARCHITECTURE
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CPROCESS_ARCHITECTURE, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {
        .len = sizeof instructions / sizeof instructions[0],
        .filter = instructions,
    };
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return;
    // Who is not privileged may filter what can gain no privileges.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return;
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

// What the child does between vfork and exec. It shares our memory and keeps us waiting, so it calls
// nothing but async-signal-safe functions, and returns only with an error number.
static int become(const struct cprocess_command *command, volatile int *join_error) {
    // Before all else, so that what the program takes counts for its groups. A group that does not
    // take it is no reason not to run.
    for (int index = 0; index < command->group_count; index++) {
        if (write(command->groups[index], "0", 1) != 1 && *join_error == 0) *join_error = errno;
    }
    if (setsid() < 0) return errno;
    int input = open("/dev/null", O_RDONLY);
    if (input < 0) return errno;
    if (dup2(input, 0) < 0) return errno;
    if (dup2(command->output, 1) < 0 || dup2(command->output, 2) < 0) return errno;
    if (close_range(3, ~0U, 0) != 0) {
        // Linux before 5.9, or a container that does not know the call.
        for (int number = getdtablesize() - 1; number > 2; number--) close(number);
    }
    if (command->directory && chdir(command->directory) != 0) return errno;
    // No handler of ours may run in the child, and what we ignore it shall not.
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < _NSIG; number++) sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (command->outlives_us) ignore_end_of_parent();
    execve(command->program, command->arguments, command->environment);
    return errno;
}

int cprocess_spawn(pid_t *pid, const struct cprocess_command *command, int *join_error) {
    // The child writes to these, in our memory.
    volatile int failure = 0;
    volatile int joining = 0;
    sigset_t all, ours;
    sigfillset(&all);
    // No handler of ours may run in the child before its handlers are the default ones.
    int code = pthread_sigmask(SIG_SETMASK, &all, &ours);
    if (code != 0) return code;
    pid_t child = vfork();
    if (child == 0) {
        failure = become(command, &joining);
        _exit(127);
    }
    int fork_failure = errno;
    pthread_sigmask(SIG_SETMASK, &ours, NULL);
    if (child < 0) return fork_failure;
    if (failure != 0) {
        waitpid(child, NULL, 0);
        return failure;
    }
    *pid = child;
    *join_error = joining;
    return 0;
}

int cprocess_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int cprocess_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int cprocess_reap(int pidfd, struct cprocess_exit *result) {
    siginfo_t info;
    info.si_pid = 0;
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return -1;
    result->exited = info.si_code == CLD_EXITED;
    result->value = info.si_status;
    return 0;
}

const char *cprocess_signal_name(int signal) { return sigabbrev_np(signal); }

int cprocess_lock_file(int file, bool exclusively) {
    return flock(file, (exclusively ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

int cprocess_unlock_file(int file) { return flock(file, LOCK_UN); }

ssize_t cprocess_copy(int to, int from, off_t *offset, size_t count) {
    return sendfile(to, from, offset, count);
}

void cprocess_limit_arenas(int count) {
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, count);
#endif
}
