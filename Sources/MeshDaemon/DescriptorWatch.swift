internal import Glibc
internal import Logging

/// Warns, until cancelled, when this process can open no more files, and tells when it can again.
///
/// Without descriptors the servers accept nobody and rest in between, and starts fail: each by itself
/// would tell of it in its own words, or not at all.
func watchDescriptors(_ logger: Logger) async {
    var couldOpen = true
    while (try? await Task.sleep(for: .seconds(1))) != nil {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let code = errno
        if descriptor >= 0 { close(descriptor) }
        let canOpen = descriptor >= 0 || code != EMFILE && code != ENFILE
        defer { couldOpen = canOpen }
        guard canOpen != couldOpen else { continue }
        if canOpen {
            logger.notice("open files again below the limit")
        } else {
            logger.error(
                """
                no more files can be opened: what is connected goes on, nobody can connect and \
                nothing can be started; allow more open files (ulimit -n)
                """,
                metadata: ["limit": "\(descriptorLimit())"]
            )
        }
    }
}

private func descriptorLimit() -> UInt {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return UInt(limit.rlim_cur)
}
