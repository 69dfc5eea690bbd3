import Glibc
import Logging
import MeshModel
import MeshPlan

/// What the next daemon finds of the proxies that the last one ran.
struct Adoption {
    /// What is left of one proxy; none of it may run.
    struct Found {
        var record: ProxyRecord
        /// The Envoy that serves, or shall serve.
        var envoy: Envoy?
        /// The one that shall take over from it.
        var successor: Envoy?
        /// The one that it took over from.
        var predecessor: Envoy?
        var application: RunningProcess?
    }

    /// An Envoy that runs, with what is known of its start.
    struct Envoy {
        var entry: ProxyRecord.Envoy
        var process: RunningProcess
    }

    var proxies: [Found] = []
    /// Envoys of the state directory that belong to none of its proxies, and what is left of an
    /// application that has ended.
    var leftovers: [RunningProcess] = []
    /// What its owner should know, as sentences.
    var warnings: [String] = []

    private let stateDirectory: String
    private var marked: [MarkedProcess]
    /// Groups of applications that have ended.
    private var endedGroups: Set<Int32> = []
    /// Processes of the records that are of another state directory, by its path.
    private var elsewhere: [String: [Int32]] = [:]

    /// Looks at the records of a state directory and at what runs.
    ///
    /// Guarantee: what is found was started for this state directory and leads its own group. A process
    /// that merely got a recorded number, or of another directory that this one is a copy of, is not.
    init(stateDirectory: String) {
        self.stateDirectory = stateDirectory
        marked = MarkedProcess.all(stateDirectory)
        for path in ProxyFolder.all(stateDirectory) {
            if let found = find(path) { proxies.append(found) }
        }
        for (path, pids) in elsewhere.sorted(by: { $0.key < $1.key }) {
            warnings.append(
                "state folder \(stateDirectory): it is a copy of \(path), or was moved from there, and "
                    + "processes \(pids.map(\.description).joined(separator: ", ")) were started for "
                    + "\(path); they are left alone, and others are started beside them, which share "
                    + "their ports; end them unless a daemon runs there"
            )
        }
        let known = Set(proxies.flatMap(\.processes).map(\.identity.pid))
        // What an application starts is its own affair, also in a session of its own.
        leftovers = marked.filter { process in
            !known.contains(process.process.identity.pid)
                && (process.isEnvoy(of: stateDirectory)
                    || endedGroups.subtracting(known).contains(process.entry.group))
        }.map(\.process)
    }

    private mutating func find(_ path: String) -> Found? {
        guard var record = record(path) else { return nil }
        let folder = ProxyFolder(of: record.proxy, stateDirectory: stateDirectory)
        // A folder that was renamed speaks of another proxy's processes.
        guard folder.path == path else { return nil }
        var alive: [Envoy] = record.envoys.compactMap { entry in
            process(of: entry, folder).map { Envoy(entry: entry, process: $0) }
        }
        if alive.isEmpty { alive = unrecorded(folder) }
        for start in record.envoys.map(\.start) {
            if !alive.contains(where: { $0.entry.start.baseID == start.baseID }) {
                HotRestart.forget(baseID: start.baseID, start.restartSocketPath)
            }
        }
        if alive.isEmpty { HotRestart.deleteSockets(folder.restartSocketPath) }
        // One that is not written down came after all that are.
        if alive.contains(where: { !record.envoys.contains($0.entry) }) {
            record.envoys = alive.map(\.entry)
        }
        var found = Found(record: record)
        (found.envoy, found.successor, found.predecessor) = Self.roles(
            alive,
            newest: record.envoys.last
        )
        found.application = record.application.flatMap { application($0, record) }
        return found
    }

    /// The record in a folder, if it is of this state directory; an empty one where there is none and
    /// an Envoy of the folder runs.
    private mutating func record(_ path: String) -> ProxyRecord? {
        var record: ProxyRecord?
        do {
            record = try ProxyRecord.load(path)
        } catch {
            warnings.append(
                "\(path)/process.json: \(error); what runs for the proxy is found by its arguments, and "
                    + "its application, if it has one, is not: end it if its port is taken"
            )
        }
        if let found = record, let origin = found.stateDirectory, origin != stateDirectory {
            let identities = found.envoys.compactMap(\.identity)
            let processes = (identities + [found.application?.identity].compactMap(\.self))
                .compactMap { RunningProcess($0) }
            if !processes.isEmpty {
                elsewhere[origin, default: []] += processes.map(\.identity.pid)
            }
            record = nil
        }
        let isInUse = marked.contains { $0.value(of: "-c")?.hasPrefix("\(path)/") ?? false }
        return record ?? (isInUse ? ProxyRecord.ofFolder(path) : nil)
    }

    /// Who of the living does what: the newest serves, or will once it is ready.
    static func roles<Envoy: RecordedEnvoy>(
        _ alive: [Envoy],
        newest: ProxyRecord.Envoy?
    ) -> (envoy: Envoy?, successor: Envoy?, predecessor: Envoy?) {
        guard let last = alive.last else { return (nil, nil, nil) }
        guard alive.count > 1 else {
            // It was told to finish when the one that took over from it was ready.
            if let newest, newest.start != last.entry.start,
                newest.isReady || newest.start.baseID != last.entry.start.baseID
            {
                return (nil, nil, last)
            }
            return (last, nil, nil)
        }
        let older = alive[alive.count - 2]
        let takesOver = last.entry.start.baseID == older.entry.start.baseID
        return last.entry.isReady || !takesOver ? (last, nil, older) : (older, last, nil)
    }

    /// The process of an entry, which its daemon may have had no time to write down.
    private func process(of entry: ProxyRecord.Envoy, _ folder: ProxyFolder) -> RunningProcess? {
        marked.first { process in
            // A script may have started one by hand.
            guard process.isLeader || entry.start.slot == .standalone,
                process.value(of: "-c") == folder.bootstrapPath(entry.start.slot)
            else { return false }
            if let identity = entry.identity { return process.process.identity == identity }
            return process.value(of: "--base-id") == "\(entry.start.baseID)"
                && process.value(of: "--restart-epoch") == "\(entry.start.epoch)"
        }?.process
    }

    /// The process of a recorded application, which may have changed what shows of its environment.
    private mutating func application(
        _ entry: ProxyRecord.Application,
        _ record: ProxyRecord
    ) -> RunningProcess? {
        guard let process = RunningProcess(entry.identity) else {
            endedGroups.insert(entry.identity.pid)
            return nil
        }
        let pid = entry.identity.pid
        guard let found = ProcessEntry("\(pid)"), found.group == pid, found.session == pid,
            ProcessEntry.owner(pid) == geteuid()
        else { return nil }
        let isMarked = marked.contains { $0.process.identity == entry.identity }
        return isMarked || record.stateDirectory == stateDirectory ? process : nil
    }

    /// The Envoys that run in a folder, as their arguments tell; the oldest first, two at most.
    private func unrecorded(_ folder: ProxyFolder) -> [Envoy] {
        let found: [Envoy] = EnvoySlot.allCases.flatMap { slot in
            marked.filter { $0.value(of: "-c") == folder.bootstrapPath(slot) }
                .filter { $0.isLeader || slot == .standalone }
                .compactMap { process in
                    ProxyRecord.Envoy(process, slot, folder).map {
                        Envoy(entry: $0, process: process.process)
                    }
                }
        }
        let sorted = found.sorted {
            ($0.process.identity.startTime, $0.process.identity.pid)
                < ($1.process.identity.startTime, $1.process.identity.pid)
        }
        return sorted.suffix(2)
    }
}

extension Adoption.Found {
    /// All that runs for the proxy.
    var processes: [RunningProcess] {
        [envoy?.process, successor?.process, predecessor?.process, application].compactMap(\.self)
    }
}

/// An Envoy with what is written of it.
protocol RecordedEnvoy {
    var entry: ProxyRecord.Envoy { get }
}

extension Adoption.Envoy: RecordedEnvoy {}

extension ProxyRecord {
    /// An empty record for the proxy of a folder without one, whose name was no name of a file.
    static func ofFolder(_ folder: String) -> ProxyRecord? {
        let parts = folder.split(separator: "/").suffix(2).map(String.init)
        guard parts.count == 2 else { return nil }
        return ProxyRecord(ProxyID(ObjectReference(namespace: parts[0], name: parts[1])))
    }
}

extension ProxyRecord.Envoy {
    /// What is known of an Envoy that nobody wrote down, such as one that was started by hand.
    ///
    /// Nil where it shares nothing with a successor, so that none could take over from it: one that
    /// only checks its bootstrap, one that ends.
    init?(_ marked: MarkedProcess, _ slot: EnvoySlot, _ folder: ProxyFolder) {
        guard let baseID = HotRestart.baseID(of: marked.process) else { return nil }
        let epoch = marked.value(of: "--restart-epoch").flatMap { Int($0) } ?? 0
        self.init(
            identity: marked.process.identity,
            start: EnvoyStart(
                slot: slot,
                adminSocketPath: folder.adminSocketPath(slot),
                restartSocketPath: marked.value(of: "--socket-path"),
                baseID: baseID,
                epoch: epoch,
                token: "",
                settings: nil,
                template: Fingerprint([String]()),
                binary: Fingerprint([String]())
            )
        )
    }
}
