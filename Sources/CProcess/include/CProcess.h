#pragma once

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/types.h>

// Linux calls that Swift cannot make: variadic, by macro, or missing from glibc's module.
// Each returns 0 or a value on success, and -1 or an error number as its original does.

/// A program to start, with all that it gets.
struct cprocess_command {
    /// Its path.
    const char *program;
    char *const *arguments;
    char *const *environment;
    /// Its working directory; NULL is ours.
    const char *directory;
    /// Its standard output and error.
    int output;
    /// Open `cgroup.procs` files of the control groups that it joins before it runs.
    const int *groups;
    int group_count;
    /// Whether it lives on when we end, though it asks to be ended then (`PR_SET_PDEATHSIG`).
    ///
    /// Its request is answered with success and not done, by a filter of system calls that its own
    /// children inherit. Where the kernel takes no filter, it ends with us.
    bool outlives_us;
};

/// Starts a program as the leader of a session of its own.
///
/// It gets nothing as input, no other open files, and the default signal mask and handlers. Returns
/// 0 or an error number. A control group that refuses it does not keep it from running; the error
/// number of the first refusal is in `join_error`, else 0.
int cprocess_spawn(pid_t *pid, const struct cprocess_command *command, int *join_error);

/// A file descriptor that becomes readable when the process ends; closed on exec.
int cprocess_pidfd_open(pid_t pid);

/// Signals the process of a pidfd, and never another one that got its number.
int cprocess_pidfd_send_signal(int pidfd, int signal);

/// How a child ended.
struct cprocess_exit {
    /// Whether it ended by itself; else a signal ended it.
    bool exited;
    /// The exit code or the signal.
    int value;
};

/// Takes the exit status of an ended child; -1 when it is no child or still runs.
int cprocess_reap(int pidfd, struct cprocess_exit *result);

/// `KILL` for 9; NULL for numbers without a name.
const char *cprocess_signal_name(int signal);

/// Locks an open file against others that lock it (`flock`); fails at once when one of them has.
int cprocess_lock_file(int file, bool exclusively);

/// Gives up the lock.
int cprocess_unlock_file(int file);

/// Copies from a file at `offset` to another one's present place, in the kernel (`sendfile`).
ssize_t cprocess_copy(int to, int from, off_t *offset, size_t count);

/// Has glibc's `malloc` keep at most so many heaps, where it would keep eight for each core.
///
/// A thread takes its own heap as long as there are fewer, and what is free in one is of no use to others.
void cprocess_limit_arenas(int count);
