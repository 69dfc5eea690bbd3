internal import FoundationEssentials
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle

/// Keeps the newest plan on disk, so that the next daemon goes on where this one ended.
///
/// Each proxy has a file, written when its plan changes: a change of one proxy costs the same however
/// many there are.
final class PlanKeeper: Service {
    private let state: StateDirectory
    private let folder: String
    private let logger: Logger
    private let plans: AsyncStream<Plan>
    private let newest: AsyncStream<Plan>.Continuation

    init(state: StateDirectory, logger: Logger) {
        self.state = state
        folder = "\(state.path)/plans"
        self.logger = logger
        (plans, newest) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// The plan that an earlier daemon kept; an empty one when there is none.
    ///
    /// A file that can't be read is left out, with a warning: its proxy is planned anew.
    func restore() -> Plan {
        guard let record = read(PlanRecord.self, "\(folder)/choices.json") else { return Plan() }
        let manager = FileManager.default
        let names = (try? manager.subpathsOfDirectory(atPath: "\(folder)/proxies")) ?? []
        let proxies = names.filter { $0.hasSuffix(".json") }.sorted().compactMap { name in
            read(ProxyPlan.self, "\(folder)/proxies/\(name)")
        }
        return Plan(restoring: record, proxies)
    }

    /// Writes `plan` in place of the last, soon; of several in quick succession only the newest.
    func keep(_ plan: Plan) { newest.yield(plan) }

    /// Runs until shut down, and writes what came last.
    func run() async throws {
        var files = Files()
        for await plan in plans.cancelOnGracefulShutdown() {
            _ = state.keep("the plan", logger) { try save(plan, &files) }
            // Changes often come in rows.
            try? await Task.sleep(for: .milliseconds(200))
        }
    }

    /// What is on disk.
    private struct Files {
        var record: PlanRecord?
        var proxies: [ProxyID: ProxyPlan] = [:]
    }

    private func save(_ plan: Plan, _ files: inout Files) throws {
        if files.record == nil { try makeFolder("\(folder)/proxies") }
        for (id, proxy) in plan.proxies where files.proxies[id].map({ $0 != proxy }) ?? true {
            guard let path = path(of: id) else { continue }
            try makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
            try write(proxy, path)
            files.proxies[id] = proxy
        }
        // Those of an earlier daemon that are planned no more go too.
        let stale =
            files.record == nil ? Set(restore().proxies.keys) : Set(files.proxies.keys)
        for id in stale where plan.proxies[id] == nil {
            if let path = path(of: id) { try? FileManager.default.removeItem(atPath: path) }
            files.proxies[id] = nil
        }
        let record = PlanRecord(plan)
        if record != files.record { try write(record, "\(folder)/choices.json") }
        files.record = record
    }

    /// Nil for names that would lead out of the folder, which no valid manifest has.
    private func path(of proxy: ProxyID) -> String? {
        let names = [proxy.workload.namespace, proxy.workload.name]
        guard names.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") && !$0.contains("/") }) else {
            return nil
        }
        return "\(folder)/proxies/\(names[0])/\(names[1]).json"
    }

    private func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
    }

    private func write(_ value: some Encodable, _ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try encoder.encode(value).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    private func read<Value: Decodable>(_ type: Value.Type, _ path: String) -> Value? {
        guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            logger.warning(
                "what an earlier daemon kept can't be read",
                metadata: ["file": "\(path)", "reason": "\(error)"]
            )
            return nil
        }
    }
}
