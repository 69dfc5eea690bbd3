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

    /// A recorded Envoy that runs.
    struct Envoy {
        var entry: ProxyRecord.Envoy
        var process: RunningProcess
    }

    var proxies: [Found] = []
    /// What runs for the state directory and belongs to none of its proxies.
    var leftovers: [RunningProcess] = []

    /// Looks at the records of a state directory and at what runs.
    ///
    /// Guarantee: a process that merely got a recorded number is not taken for another.
    init(stateDirectory: String) {
        let marked = MarkedProcess.all(stateDirectory)
        for folder in ProxyFolder.all(stateDirectory) {
            if let found = Self.find(folder, stateDirectory, marked) { proxies.append(found) }
        }
        let known = Set(proxies.flatMap(\.processes).map(\.identity.pid))
        leftovers = marked.map(\.process).filter { process in
            guard !known.contains(process.identity.pid),
                let entry = ProcessEntry("\(process.identity.pid)")
            else { return false }
            // What an application starts belongs to it.
            return !known.contains(entry.session) && !known.contains(entry.group)
        }
    }

    private static func find(
        _ path: String,
        _ stateDirectory: String,
        _ marked: [MarkedProcess]
    ) -> Found? {
        let standalone = marked.first { $0.value(of: "-c") == "\(path)/standalone.json" }
        var record = ProxyRecord.read(path)
        if record == nil, standalone != nil { record = ProxyRecord.ofBootBefore(path) }
        guard var record else { return nil }
        let folder = ProxyFolder(of: record.proxy, stateDirectory: stateDirectory)
        // A folder that was moved or copied speaks of somebody else's processes.
        guard folder.path == path else { return nil }
        var alive: [Envoy] = record.envoys.compactMap { entry in
            process(of: entry, folder, marked).map { Envoy(entry: entry, process: $0) }
        }
        if alive.isEmpty, let standalone {
            alive = [Envoy(entry: .standalone(standalone, folder), process: standalone.process)]
        }
        for entry in record.envoys where !alive.contains(where: { $0.entry.start == entry.start }) {
            if !alive.contains(where: { $0.entry.start.baseID == entry.start.baseID }) {
                HotRestart.forget(baseID: entry.start.baseID)
            }
        }
        // One that was started by hand came after all that are written down.
        if alive.last?.entry.start.slot == .standalone { record.envoys = alive.map(\.entry) }
        let last = record.envoys.last
        var found = Found(record: record)
        (found.envoy, found.successor, found.predecessor) = roles(alive, newest: last)
        found.application = record.application.flatMap { RunningProcess($0.identity) }
        return found
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
    private static func process(
        of entry: ProxyRecord.Envoy,
        _ folder: ProxyFolder,
        _ marked: [MarkedProcess]
    ) -> RunningProcess? {
        if let identity = entry.identity { return RunningProcess(identity) }
        return marked.first { process in
            process.value(of: "-c") == folder.bootstrapPath(entry.start.slot)
                && process.value(of: "--base-id") == "\(entry.start.baseID)"
                && process.value(of: "--restart-epoch") == "\(entry.start.epoch)"
        }?.process
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
    static func ofBootBefore(_ folder: String) -> ProxyRecord? {
        let parts = folder.split(separator: "/").suffix(2).map(String.init)
        guard parts.count == 2 else { return nil }
        return ProxyRecord(ProxyID(ObjectReference(namespace: parts[0], name: parts[1])))
    }
}

extension ProxyRecord.Envoy {
    /// What is known of an Envoy that was started by hand.
    static func standalone(_ marked: MarkedProcess, _ folder: ProxyFolder) -> Self {
        let text = Files.read(folder.standaloneBasePath) ?? []
        let baseID = Int(String(decoding: text, as: UTF8.self).filter(\.isNumber)) ?? 0
        let start = EnvoyStart(
            slot: .standalone,
            adminSocketPath: folder.adminSocketPath(.standalone),
            baseID: baseID,
            epoch: 0,
            token: "",
            settings: nil,
            template: Fingerprint([String]()),
            binary: Fingerprint([String]())
        )
        return Self(identity: marked.process.identity, start: start)
    }
}
