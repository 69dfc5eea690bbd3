import CProcess
import Glibc

/// Keeps the logs of processes small: a log that has grown too big becomes a former file, `<log>.1`,
/// in place of the one before, and starts empty.
///
/// The processes hold the log open and cannot be told to open another one, so it is copied, then
/// truncated; they append (`O_APPEND`), so they go on at its new end. What they write between the end
/// of the copy and the truncation, some microseconds, is lost.
///
/// A disk that is full gets no copy: the former file goes, and if that is not enough, the content of
/// the log with it. On a full disk its last lines are worth less than the state of the proxies.
///
/// Readers follow (`LogReader`): while the copy gets its name and the log becomes empty the log is
/// locked, so that they see both or neither.
///
/// Access logs that manifests have proxies write to files are their owner's. Envoy opens them again
/// on SIGUSR1, so `logrotate` may rename them and signal the process in `postrotate`, without
/// `copytruncate`.
struct LogRotation: Sendable {
    /// What became of a log.
    enum Outcome: Hashable, Sendable {
        /// It is small, or not there.
        case unneeded
        /// Somebody has it locked; it grows until the next look.
        case locked
        /// It is empty now, so places in it that were noted mean nothing any more.
        case rotated
        /// The same, and what was in it is gone; why, as a message.
        case emptied(problem: String)
        /// It grows on; why, as a message.
        case failed(problem: String)

        /// Whether the log starts anew.
        var isEmptied: Bool {
            switch self {
            case .rotated, .emptied: true
            case .unneeded, .locked, .failed: false
            }
        }
    }

    /// From what size on a log is rotated.
    var capBytes = 10 << 20
    /// Logs whose problem has been told.
    private var told: Set<String> = []

    /// Rotates logs of more than `capBytes`.
    init(capBytes: Int = 10 << 20) { self.capBytes = capBytes }

    /// Where a log's content is after a rotation.
    static func formerPath(of path: String) -> String { "\(path).1" }

    /// Rotates those logs that have grown too big; a look at each costs one system call.
    ///
    /// - Parameter paths: Logs, which need not exist.
    /// - Returns: The logs that are empty now, and messages that have not been given before.
    mutating func rotate(_ paths: [String]) -> (emptied: [String], problems: [String]) {
        var emptied: [String] = []
        var problems: [String] = []
        told.formIntersection(paths)
        for path in paths {
            let outcome = rotate(path)
            if outcome.isEmptied { emptied.append(path) }
            switch outcome {
            case .unneeded, .locked: break
            case .rotated: told.remove(path)
            case .emptied(let problem), .failed(let problem):
                if told.insert(path).inserted { problems.append(problem) }
            }
        }
        return (emptied, problems)
    }

    /// The same on a thread of its own, as it copies big files.
    ///
    /// - Parameter paths: Logs, which need not exist.
    /// - Returns: Also the rotation that knows which messages it has given.
    func rotating(
        _ paths: [String]
    ) async -> (after: LogRotation, emptied: [String], problems: [String]) {
        await withCheckedContinuation { continuation in
            runOnThread {
                var after = self
                let (emptied, problems) = after.rotate(paths)
                continuation.resume(returning: (after, emptied, problems))
            }
        }
    }

    /// Rotates a log if it has grown too big; may take a while.
    func rotate(_ path: String) -> Outcome {
        var status = stat()
        guard stat(path, &status) == 0, Int(status.st_size) > capBytes else { return .unneeded }
        do throws(SystemError) {
            return try rotateNow(path)
        } catch {
            return .failed(problem: "\(error); \(path) grows on")
        }
    }

    private func rotateNow(_ path: String) throws(SystemError) -> Outcome {
        let log = try open(path, O_RDWR)
        let former = Self.formerPath(of: path)
        let new = "\(former).new"
        // No copy is made for nothing as long as somebody keeps the lock.
        guard lock(log) else { return .locked }
        _ = cprocess_unlock_file(log.number)
        var problem = copy(log, to: new)
        if problem?.isForSpace == true, unlink(former) == 0 { problem = copy(log, to: new) }
        if let problem {
            unlink(new)
            guard problem.isForSpace else { throw problem }
        }
        guard lock(log) else {
            unlink(new)
            return .locked
        }
        defer { _ = cprocess_unlock_file(log.number) }
        if problem == nil {
            let copy = try open(new, O_WRONLY)
            // What came while we copied; what does not fit is lost with a full disk anyway.
            _ = append(log, from: copy.status.size, to: copy)
            guard rename(new, former) == 0 else { throw SystemError("cannot write \(former)") }
        }
        guard ftruncate(log.number, 0) == 0 else { throw SystemError("cannot truncate \(path)") }
        guard let problem else { return .rotated }
        return .emptied(problem: "\(problem); \(path) was emptied")
    }

    /// Locks a log, which readers hold for the time of a read; false when somebody else does for long.
    private func lock(_ log: Descriptor) -> Bool {
        for _ in 0..<100 {
            if cprocess_lock_file(log.number, true) == 0 { return true }
            usleep(1000)
        }
        return false
    }

    private func copy(_ log: Descriptor, to path: String) -> SystemError? {
        unlink(path)
        do throws(SystemError) {
            let copy = try open(path, O_WRONLY | O_CREAT | O_EXCL)
            let code = append(log, from: 0, to: copy)
            return code == 0 ? nil : SystemError("cannot write \(path)", code: code)
        } catch {
            return error
        }
    }

    /// Appends what is in `log` from `offset` to its present end, in the kernel; returns 0 or an error.
    private func append(_ log: Descriptor, from offset: Int, to copy: Descriptor) -> Int32 {
        let end = log.status.size
        var place = off_t(offset)
        lseek(copy.number, 0, SEEK_END)
        while place < end {
            let count = cprocess_copy(copy.number, log.number, &place, end - Int(place))
            if count < 0, errno == EINTR { continue }
            if count < 0 { return errno }
            if count == 0 { break }
        }
        return 0
    }

    private func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        let number = Glibc.open(path, flags | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw SystemError("cannot open \(path)") }
        return Descriptor(number)
    }
}

extension SystemError {
    /// Whether the disk took nothing more.
    var isForSpace: Bool { code == ENOSPC || code == EDQUOT || code == EROFS }
}

/// Runs `body`, which blocks, on a thread of its own.
private func runOnThread(_ body: @escaping @Sendable () -> Void) {
    let work = Unmanaged.passRetained(ThreadWork(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread,
        nil,
        { work in
            if let work { Unmanaged<ThreadWork>.fromOpaque(work).takeRetainedValue().body() }
            return nil
        },
        work.toOpaque()
    )
    if code == 0 {
        pthread_detach(thread)
    } else {
        // Where no thread can be had, late is better than never.
        work.release()
        body()
    }
}

private final class ThreadWork: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Which file has a name now, and in which state it was left; numbers of files are given out again.
struct FileIdentity: Hashable, Sendable {
    private var inode: UInt64
    private var seconds: Int
    private var nanoseconds: Int

    /// The file at `path`; nil when there is none.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        inode = UInt64(status.st_ino)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}

extension Descriptor {
    /// Calls `body` while no rotation changes the file and its former one; nil while one does.
    ///
    /// A lock that somebody keeps on a log holds nobody up, and no rotation comes while it is there.
    func unlessRotated<Result>(_ body: () -> Result) -> Result? {
        guard cprocess_lock_file(number, false) == 0 else { return nil }
        defer { _ = cprocess_unlock_file(number) }
        return body()
    }
}
