import HTTPClient
import Synchronization

/// Envoy's admin interface.
struct EnvoyAdmin: Sendable {
    let client: HTTPClient
    let socketPath: String

    /// Whether Envoy serves, having all that it waits for at start; nil when nobody answers.
    func isReady() async -> Bool? {
        let response = try? await ask("GET", "/ready")
        return response.map { $0.status == 200 }
    }

    /// Makes Envoy close idle connections and announce the end on busy ones; it goes on listening.
    ///
    /// Envoy before 1.40 takes `skip_exit` only beside `graceful`.
    func startDraining() async { _ = try? await ask("POST", "/drain_listeners?graceful&skip_exit") }

    /// How much is under way; nil when nobody answers.
    func activity() async -> EnvoyActivity? {
        guard let response = try? await ask("GET", "/stats?filter=downstream_(rq|cx)_active$"),
            response.status == 200
        else { return nil }
        return EnvoyActivity(stats: response.text)
    }

    /// Whether all threads take connections, and an Envoy before this one has been told not to.
    func hasStartedWorkers() async -> Bool {
        let response = try? await ask("GET", "/stats?filter=^listener_manager.workers_started$")
        return response?.text.hasSuffix(": 1\n") ?? false
    }

    /// Envoy's version, such as `1.40.0`.
    func version() async -> String? {
        guard let response = try? await ask("GET", "/server_info"), response.status == 200 else {
            return nil
        }
        return Self.version(serverInfo: response.text)
    }

    /// The version in `"version": "<commit>/1.40.0/Clean/RELEASE/BoringSSL"`.
    static func version(serverInfo: String) -> String? {
        guard let key = serverInfo.firstRange(of: "\"version\": \"") else { return nil }
        let parts = serverInfo[key.upperBound...].prefix { $0 != "\"" }.split(separator: "/")
        return parts.count > 1 ? String(parts[1]) : nil
    }

    /// What a look at a running Envoy gave.
    enum Look: Hashable {
        /// With the statistics that tell of its use, and those that are wanted beside.
        case answered(String)
        case silent
        case closed
    }

    /// Whether Envoy answers; one that told its admin interface to close is alive all the same.
    ///
    /// - Parameter path: What is asked, `EnvoyStats.path`.
    /// - Returns: What it answered, if so.
    func look(_ path: String = EnvoyStats.path()) async -> Look {
        do {
            let response = try await ask("GET", path)
            return .answered(response.status == 200 ? response.text : "")
        } catch let error as HTTPError {
            return error.kind == .timedOut ? .silent : .closed
        } catch {
            return .closed
        }
    }

    /// Sets values of the runtime; false when nobody answers, or Envoy refuses.
    func modifyRuntime(_ values: [String: String]) async -> Bool {
        let query = values.sorted { $0.key < $1.key }
            .map { key, value in
                "\(EnvoyStats.percentEncoded(key))=\(EnvoyStats.percentEncoded(value))"
            }
            .joined(separator: "&")
        let response = try? await ask("POST", "/runtime_modify?\(query)")
        return response?.status == 200
    }

    private func ask(_ method: String, _ path: String) async throws -> HTTPResponse {
        try await client.response(
            to: HTTPRequest(
                method,
                "http://envoy\(path)",
                unixSocketPath: socketPath,
                connectTimeout: .seconds(1),
                timeout: .seconds(2)
            )
        )
    }
}

/// How much a proxy has under way.
struct EnvoyActivity: Hashable, Sendable {
    /// HTTP requests.
    var requests = 0
    /// Connections that carry no HTTP, whose every byte may matter.
    var rawConnections = 0

    /// Nothing would be lost by its end; idle HTTP connections do not count.
    var isIdle: Bool { requests == 0 && rawConnections <= 0 }

    /// Reads `listener.*.downstream_cx_active` and `http.*.downstream_{cx,rq}_active`.
    ///
    /// Those of the admin interface and of single worker threads do not count.
    init(stats: String) {
        for line in stats.split(separator: "\n") {
            guard let colon = line.lastIndex(of: ":"),
                let value = Int(line[line.index(after: colon)...].drop { $0 == " " })
            else { continue }
            let name = line[..<colon]
            if name.hasPrefix("http.admin.") || name.hasPrefix("listener.admin.") { continue }
            if name.hasPrefix("listener.") {
                if !name.contains(".worker_") { rawConnections += value }
            } else if name.hasPrefix("http.") {
                let isRequests = name.hasSuffix("rq_active")
                if isRequests { requests += value } else { rawConnections -= value }
            }
        }
    }
}

/// Ends the watching of a process that has ended.
final class StopFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

/// The longer conversations with Envoy.
enum EnvoyWatch {
    /// Asks until Envoy is ready, 10 ms to 250 ms apart.
    ///
    /// Calls `answered` at the first answer, or after 5 s without one.
    static func untilReady(
        _ admin: EnvoyAdmin,
        stop: StopFlag,
        takesOver: Bool = false,
        answered: () -> Void
    ) async -> Bool {
        var pause = Duration.milliseconds(10)
        var hasAnswered = false
        let start = ContinuousClock.now
        while !stop.isSet, !Task.isCancelled {
            let isReady = await admin.isReady()
            if !hasAnswered, isReady != nil || ContinuousClock.now - start > .seconds(5) {
                hasAnswered = true
                answered()
            }
            if isReady == true {
                if !takesOver { return true }
                if await admin.hasStartedWorkers() { return true }
            }
            try? await Task.sleep(for: pause)
            pause = min(pause * 5 / 4, .milliseconds(250))
        }
        return false
    }

    /// Looks at a running Envoy until it ends.
    ///
    /// - Parameters:
    ///   - stop: Set when it ends.
    ///   - interval: From one look to the next.
    ///   - limit: How long it may be silent.
    ///   - look: Looks at it, within 2 s.
    /// - Returns: For how long it has been silent; nil when it ended.
    static func untilSilent(
        stop: StopFlag,
        interval: Duration,
        limit: Duration,
        look: () async -> EnvoyAdmin.Look
    ) async -> Duration? {
        var lastAnswer = ContinuousClock.now
        var silences = 0
        while !stop.isSet, !Task.isCancelled {
            switch await look() {
            case .answered, .closed:
                lastAnswer = .now
                silences = 0
                try? await Task.sleep(for: interval)
            case .silent:
                silences += 1
                let silence = ContinuousClock.now - lastAnswer
                if silences >= 3, silence >= limit, !stop.isSet { return silence }
                try? await Task.sleep(for: interval / 5)
            }
        }
        return nil
    }

    /// Waits until nothing has been under way for `settle`; who does not answer may be busy.
    static func untilIdle(_ admin: EnvoyAdmin, stop: StopFlag, settle: Duration) async {
        await admin.startDraining()
        var idleSince: ContinuousClock.Instant?
        while !stop.isSet, !Task.isCancelled {
            let activity = await admin.activity()
            let now = ContinuousClock.now
            idleSince = activity?.isIdle ?? false ? idleSince ?? now : nil
            if let idleSince, now - idleSince >= settle { return }
            try? await Task.sleep(for: .milliseconds(50))
        }
    }
}
