#pragma once

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/types.h>

// Linux calls that Swift cannot make: variadic, by macro, or missing from glibc's module.
// Each returns 0 or a value on success, and -1 or an error number as its original does.

/// Starts `program` as the leader of a session of its own.
///
/// It gets `output` as standard output and error, nothing as input, no other open files, and the
/// default signal mask and handlers. Returns 0 or an error number.
int cprocess_spawn(pid_t *pid, const char *program, char *const arguments[],
                   char *const environment[], const char *directory, int output);

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
