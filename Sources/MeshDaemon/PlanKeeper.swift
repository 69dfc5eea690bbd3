internal import FoundationEssentials
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle
internal import Synchronization

/// Keeps the newest plan on disk, so that the next daemon goes on where this one ended.
///
/// Each proxy has a file, written when its plan changes: a change of one proxy costs the same however
/// many there are.
final class PlanKeeper: Service {
    private let state: StateDirectory
    private let folder: String
    private let logger: Logger
    private let sleep: @Sendable (Duration) async throws -> Void
    private let wishes: AsyncStream<Void>
    private let wish: AsyncStream<Void>.Continuation
    private let work = Mutex(Work())

    private struct Work {
        /// The newest plan as long as it is not on disk.
        var pending: Plan?
        var files = Files()
    }

    /// Makes a keeper in a folder of `state`; `clock` is for pauses.
    init(state: StateDirectory, clock: some Clock<Duration> = ContinuousClock(), logger: Logger) {
        self.state = state
        folder = "\(state.path)/plans"
        self.logger = logger
        sleep = { try await clock.sleep(for: $0) }
        (wishes, wish) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
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
    func keep(_ plan: Plan) {
        work.withLock { $0.pending = plan }
        wish.yield()
    }

    /// Runs until shut down, and writes what came last.
    func run() async throws {
        await withTaskGroup { group in
            group.addTask {
                // What could not be written is tried again.
                while (try? await self.sleep(.seconds(1))) != nil { self.wish.yield() }
            }
            for await _ in wishes.cancelOnGracefulShutdown() {
                writePending()
                // Changes often come in rows.
                try? await sleep(.milliseconds(200))
            }
            group.cancelAll()
        }
        // There is no later attempt to leave it to.
        writePending(at: .now + StorageWarnings.retryInterval)
    }

    /// Writes the newest plan unless it is on disk; a failure leaves it to the next call that is not too
    /// soon after it.
    func writePending(at now: ContinuousClock.Instant = .now) {
        work.withLock { work in
            guard let plan = work.pending else { return }
            let isWritten = state.keep("the plan", at: now, logger) {
                try save(plan, &work.files)
            }
            if isWritten { work.pending = nil }
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
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw cannotWrite(path, error)
        }
    }

    private func write(_ value: some Encodable, _ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let bytes = try encoder.encode(value)
        do {
            try bytes.write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw cannotWrite(path, error)
        }
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
