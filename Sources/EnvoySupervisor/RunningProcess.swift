import CProcess
import Glibc

/// How a process ended.
enum ProcessExit: Hashable, Sendable {
    case exited(code: Int)
    case killed(signal: Int)
    /// It was not our child, so nobody told us.
    case unknown

    /// `killed by signal 9 (SIGKILL)`.
    var text: String {
        switch self {
        case .exited(let code): "exited with code \(code)"
        case .killed(let signal):
            if let name = cprocess_signal_name(Int32(signal)) {
                "killed by signal \(signal) (SIG\(String(cString: name)))"
            } else {
                "killed by signal \(signal)"
            }
        case .unknown: "ended; how is not known, as another daemon had started it"
        }
    }

    /// Whether somebody ended it from outside, so that its last words do not say why.
    var isFromOutside: Bool {
        switch self {
        case .killed(let signal): [SIGKILL, SIGTERM, SIGINT, SIGHUP].contains(Int32(signal))
        case .exited, .unknown: false
        }
    }
}

/// Which process a number meant when it was written down; numbers are given out again.
struct ProcessIdentity: Hashable, Sendable, Codable {
    var pid: Int32
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from the boot to the start.
    var startTime: UInt64

    /// The process that has the number `pid` now; nil when none has it or it has ended.
    static func current(_ pid: Int32) -> ProcessIdentity? {
        guard let entry = ProcessEntry("\(pid)"), !entry.hasEnded else { return nil }
        return ProcessIdentity(pid: pid, startTime: entry.startTime)
    }
}

/// What `/proc/<pid>/stat` says of a process.
struct ProcessEntry {
    /// Whether it is a zombie: it has ended and its parent has not asked how.
    var hasEnded: Bool
    /// Its process group.
    var group: Int32
    /// Its session; what it starts is in the same, unless it made one of its own.
    var session: Int32
    /// Clock ticks from the boot to its start.
    var startTime: UInt64

    /// Whose process it is; nil when there is none.
    ///
    /// Anybody may ask of any process.
    static func owner(_ pid: Int32) -> uid_t? {
        let text = String(decoding: Files.read("/proc/\(pid)/status") ?? [], as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("Uid:") }
        // The real one, then the one that counts.
        let numbers = line?.split(whereSeparator: \.isWhitespace) ?? []
        return numbers.count > 2 ? uid_t(numbers[2]) : nil
    }

    /// Reads the entry of a process; nil when there is none.
    init?(_ pid: String) {
        guard let bytes = Files.read("/proc/\(pid)/stat") else { return nil }
        // The name in parentheses may hold anything, spaces and parentheses too.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let group = Int32(fields[2]), let session = Int32(fields[3]),
            let startTime = UInt64(fields[19])
        else { return nil }
        hasEnded = fields[0] == "Z" || fields[0] == "X"
        self.group = group
        self.session = session
        self.startTime = startTime
    }
}

/// A process that runs or ran, our child or not.
///
/// Guarantee: a signal reaches this process and never another one that got its number.
final class RunningProcess: Sendable {
    let identity: ProcessIdentity
    private let pidfd: Descriptor
    private let leadsGroup: Bool

    /// The process with the number `pid`; nil when there is none.
    ///
    /// The first process of a container, whose number as a group means everybody, and we ourselves
    /// are none that can be watched or ended.
    init?(pid: Int32) {
        guard pid > 1, pid != getpid() else { return nil }
        let number = cprocess_pidfd_open(pid)
        guard number >= 0 else { return nil }
        pidfd = Descriptor(number)
        // What we start leads a group before it is our child to see, and stays its leader.
        leadsGroup = ProcessEntry("\(pid)").map { $0.group == pid } ?? false
        // A child that has ended already has no entry with a start time, and nobody records it.
        identity = ProcessIdentity.current(pid) ?? ProcessIdentity(pid: pid, startTime: 0)
    }

    /// The process that `identity` meant, if it still runs.
    convenience init?(_ identity: ProcessIdentity) {
        self.init(pid: identity.pid)
        guard self.identity == identity else { return nil }
    }

    /// Whether it has ended.
    var hasEnded: Bool { hasEnded(within: 0) }

    /// Blocks until it has ended, or not longer than `milliseconds`; whether it has ended.
    @discardableResult
    func hasEnded(within milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: pidfd.number, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) == 1
    }

    /// Calls `handler` once when it has ended, and takes its exit status if it is our child.
    func onExit(
        _ watcher: DescriptorWatcher,
        _ handler: @escaping @Sendable (ProcessExit) -> Void
    ) {
        watcher.watch(pidfd) { [pidfd] token in
            watcher.unwatch(token)
            var result = cprocess_exit()
            guard cprocess_reap(pidfd.number, &result) == 0 else { return handler(.unknown) }
            let value = Int(result.value)
            handler(result.exited ? .exited(code: value) : .killed(signal: value))
        }
    }

    /// Signals the process.
    func signal(_ signal: Int32) { _ = cprocess_pidfd_send_signal(pidfd.number, signal) }

    /// Signals its whole group when it is the leader, and otherwise only itself.
    ///
    /// The kernel does not give out the group's number again while the group has members, zombies included.
    func signalGroup(_ signal: Int32) {
        guard leadsGroup else { return self.signal(signal) }
        kill(-identity.pid, signal)
    }

    /// Whether processes of its group run, for when it has ended itself.
    var hasGroup: Bool {
        // As process 1 of a container we inherit its orphans and have to take their statuses.
        while waitpid(-identity.pid, nil, WNOHANG) > 0 {}
        guard kill(-identity.pid, 0) == 0 else { return false }
        // Another process 1 may leave them as zombies, which the kernel still counts.
        return Files.names(in: "/proc").contains { name in
            guard name.first?.isNumber == true, let entry = ProcessEntry(name) else { return false }
            return entry.group == identity.pid && !entry.hasEnded
        }
    }
}
