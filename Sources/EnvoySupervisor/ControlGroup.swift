import Glibc
import MeshModel

/// The two interfaces of the kernel to control groups.
enum ControlGroupVersion: String, Hashable, Sendable, Codable {
    /// Each controller has a tree of its own.
    case v1
    /// One tree for all.
    case v2
}

/// A controller that limits proxies.
enum ControlGroupController: String, CaseIterable, Hashable, Sendable, Codable {
    case memory
    case cpu
}

/// A folder in the file system of control groups.
struct ControlGroupFolder: Hashable, Sendable, Codable {
    var path: String
    var version: ControlGroupVersion

    /// The numbers of a file of lines such as `oom_kill 3`; empty when it is not there.
    func numbers(in file: String) -> [Substring: Int] {
        let text = text(of: file)
        var numbers: [Substring: Int] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let number = Int(words[1]) { numbers[words[0]] = number }
        }
        return numbers
    }

    /// The number that is the content of a file; nil when there is none.
    func number(in file: String) -> Int? {
        Int(text(of: file).prefix { $0 != "\n" })
    }

    /// The processes that are in the group itself.
    var processes: [Int32] {
        text(of: "cgroup.procs").split(separator: "\n").compactMap { Int32($0) }
    }

    /// The text of a file; empty when it cannot be read.
    func text(of file: String) -> String {
        Files.read("\(path)/\(file)").map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// The control group of one start of an Envoy, in which nothing else runs.
///
/// It can be written down and found again by a later daemon, wherever that one's own group is.
struct ControlGroup: Hashable, Sendable, Codable {
    /// Where memory is limited and counted; nil where the host does not let us.
    var memory: ControlGroupFolder?
    /// The same for processor time; of version 2 the same folder as `memory`.
    var cpu: ControlGroupFolder?
    /// Why not all limits are enforced, as a clause; nil when they are.
    var problem: String?

    /// How the limits of the proxy are enforced.
    var enforcement: LimitEnforcement {
        problem.map { .proxyOnly(reason: $0) } ?? .controlGroup
    }

    /// How they are for a process that was found running.
    func enforcement(of pid: Int32) -> LimitEnforcement {
        for folder in folders where !folder.processes.contains(pid) {
            return .proxyOnly(reason: "process \(pid) is not in \(folder.path)")
        }
        return enforcement
    }

    /// Its folders, each once.
    var folders: [ControlGroupFolder] {
        memory == cpu ? [memory].compactMap(\.self) : [memory, cpu].compactMap(\.self)
    }

    /// Removes it; false as long as a process is in it.
    ///
    /// What it counted is lost, so ask for `evidence` before.
    @discardableResult
    func remove() -> Bool {
        folders.filter { rmdir($0.path) != 0 && errno != ENOENT }.isEmpty
    }

    /// What the kernel did to enforce the limits, and what it counted.
    var evidence: ControlGroupEvidence { ControlGroupEvidence(of: self) }

    /// What a process needs to join, between fork and exec.
    struct Doors {
        /// Files to which it writes itself.
        var open: [Descriptor] = []
        /// Why one of them is shut, as a clause.
        var problem: String?
    }

    /// Opens the files with which a process joins.
    func doors() -> Doors {
        var doors = Doors()
        for folder in folders {
            let path = "\(folder.path)/cgroup.procs"
            do {
                doors.open.append(try Descriptor.open(path, O_WRONLY))
            } catch {
                doors.problem = doors.problem ?? "\(error)"
            }
        }
        return doors
    }

    /// Why a process could not join, as a clause.
    func refusal(_ code: Int32) -> String {
        let paths = folders.map { "\($0.path)/cgroup.procs" }.joined(separator: " or ")
        return SystemError("cannot join \(paths)", code: code).description
    }
}

/// What the kernel counted in a control group since it was made.
struct ControlGroupEvidence: Hashable, Sendable {
    /// How often it ended a process as memory was short.
    var outOfMemoryKills = 0
    /// Memory now, with the pages of files that its processes read and wrote; nil when not counted.
    var memoryBytes: Int?
    /// The most that ever was; nil when not counted (version 2 before Linux 5.19).
    var peakMemoryBytes: Int?
    /// For how long threads wanted to run and their limit did not let them, added up over processors.
    var throttledSeconds = 0.0
    /// In how many periods of `ControlGroups.periodMicroseconds` that happened.
    var throttledPeriods = 0

    init() {}

    init(of group: ControlGroup) {
        if let memory = group.memory {
            let isV1 = memory.version == .v1
            let events = memory.numbers(in: isV1 ? "memory.oom_control" : "memory.events")
            outOfMemoryKills = events["oom_kill"] ?? 0
            memoryBytes = memory.number(in: isV1 ? "memory.usage_in_bytes" : "memory.current")
            peakMemoryBytes = memory.number(in: isV1 ? "memory.max_usage_in_bytes" : "memory.peak")
        }
        if let cpu = group.cpu { readThrottling(cpu) }
    }

    /// Only what `cpu` says of throttling, which costs one file.
    init(throttlingOf cpu: ControlGroupFolder) { readThrottling(cpu) }

    private mutating func readThrottling(_ cpu: ControlGroupFolder) {
        let numbers = cpu.numbers(in: "cpu.stat")
        throttledPeriods = numbers["nr_throttled"] ?? 0
        throttledSeconds =
            switch cpu.version {
            case .v1: Double(numbers["throttled_time"] ?? 0) / 1e9
            case .v2: Double(numbers["throttled_usec"] ?? 0) / 1e6
            }
    }
}
