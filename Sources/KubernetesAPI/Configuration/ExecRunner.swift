internal import FoundationEssentials
internal import Logging
internal import Synchronization

/// Runs a plugin when its credentials are needed, once for all who wait for them.
final class ExecRunner: Sendable {
    private typealias Outcome = Result<(PluginAnswer, run: Int), any Error>

    private struct State {
        /// How often it was run.
        var run = 0
        var answer: PluginAnswer?
        var isRunning = false
        var lastID = 0
        var waiters: [Int: CheckedContinuation<(PluginAnswer, run: Int), any Error>] = [:]
    }

    private let plugin: ExecPlugin
    private let timeLimit: Duration
    private let logger: Logger
    private let now: @Sendable () -> Date
    private let state = Mutex(State())

    init(
        _ plugin: ExecPlugin,
        timeLimit: Duration,
        _ logger: Logger,
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.plugin = plugin
        self.timeLimit = timeLimit
        self.logger = logger
        self.now = now
    }

    /// Forgets what run number `run` gave, as the server refuses it.
    func forget(_ run: Int) {
        state.withLock { state in
            if state.run == run { state.answer = nil }
        }
    }

    /// What the plugin gave, as long as it holds; else it is run.
    func credential(for request: String) async throws -> (PluginAnswer, run: Int) {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { wait($0, id) }
            } onCancel: {
                state.withLock { $0.waiters.removeValue(forKey: id) }?
                    .resume(throwing: CancellationError())
            }
        } catch let problem as PluginProblem {
            throw KubernetesError(
                .credentials,
                request: request,
                problem: "\(plugin.place): \(plugin.command): \(problem.text)"
            )
        }
    }

    private func wait(
        _ continuation: CheckedContinuation<(PluginAnswer, run: Int), any Error>,
        _ id: Int
    ) {
        let now = now()
        let (outcome, starts): (Outcome?, Bool) = state.withLock { state in
            if Task.isCancelled { return (.failure(CancellationError()), false) }
            if let answer = state.answer, answer.expiry.map({ now < $0 }) ?? true {
                return (.success((answer, run: state.run)), false)
            }
            state.waiters[id] = continuation
            defer { state.isRunning = true }
            return (nil, !state.isRunning)
        }
        if let outcome { return continuation.resume(with: outcome) }
        guard starts else { return }
        logger.debug("exec plugin started", metadata: ["command": "\(plugin.command)"])
        let (plugin, timeLimit) = (plugin, timeLimit)
        startThread { [weak self] in
            let result = Result { () throws(PluginProblem) in
                try plugin.answer(in: try plugin.run(timeLimit: timeLimit))
            }
            self?.finish(result)
        }
    }

    private func finish(_ result: Result<PluginAnswer, PluginProblem>) {
        let (waiters, outcome): ([CheckedContinuation<_, any Error>], Outcome) = state.withLock {
            state in
            state.isRunning = false
            state.run += 1
            let outcome: Outcome
            switch result {
            case .success(let answer):
                state.answer = answer
                outcome = .success((answer, run: state.run))
            case .failure(let problem):
                state.answer = nil
                outcome = .failure(problem)
            }
            defer { state.waiters = [:] }
            return (Array(state.waiters.values), outcome)
        }
        for waiter in waiters { waiter.resume(with: outcome) }
    }
}
