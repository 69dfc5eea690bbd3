internal import HTTPClient
internal import Logging
internal import Synchronization

/// Makes requests until one is answered: with credentials, deadlines, and pauses between attempts.
final class RequestSender: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// The answer to a request that is not a watch may have so many bytes.
    static let bodyLimit = 128 * 1024 * 1024
    /// A request that found no answer for so long may have met a connection whose other end is dead: an
    /// eighth of what a request may take, which is well within the time that a leader has to try another
    /// connection.
    private var suspiciousSilence: Duration { min(.seconds(4), options.requestTimeout / 8) }

    let configuration: KubernetesConfiguration
    private let credentials: CredentialKeeper
    private let options: KubernetesClient.Options
    private let logger: Logger
    private let gate: RequestGate
    private let http = Mutex(HTTPClient(maxConnectionsPerHost: 64))
    private let counts = Mutex<[RequestKind: Int]>([:])

    init(
        _ configuration: KubernetesConfiguration,
        _ options: KubernetesClient.Options,
        _ logger: Logger
    ) {
        self.configuration = configuration
        self.options = options
        self.logger = logger
        credentials = CredentialKeeper(configuration, timeLimit: options.pluginTimeLimit, logger)
        gate = RequestGate(limit: options.maxRequestsInFlight)
    }

    /// How many attempts were made, and how they ended.
    var requestCounts: [RequestKind: Int] { counts.withLock { $0 } }

    /// The body of the answer to `request`.
    ///
    /// - Throws: `KubernetesError`, or `CancellationError`.
    func body(of request: APIRequest, deadline: Instant? = nil) async throws -> [UInt8] {
        let end = min(deadline ?? .now + options.requestTimeout, .now + options.requestTimeout)
        return try await answer(request, deadline: end, timeout: nil) { stream, _ in
            try await stream.body.whole(limit: Self.bodyLimit)
        }
    }

    /// The answer to `request`, a watch that lasts for `limit` at most, while it comes, and by whom.
    func stream(
        of request: APIRequest,
        limit: Duration
    ) async throws -> (stream: HTTPResponseStream, http: HTTPClient) {
        let end = Instant.now + options.requestTimeout
        return try await answer(request, deadline: end, timeout: limit) { ($0, $1) }
    }

    /// Gives up the connections of `http` when nothing came over them for as long as a request may
    /// take: a watch was to end in that time, and did not.
    func watchTimedOut(_ http: HTTPClient) {
        giveUp(http, ifSilentSince: .now - options.requestTimeout)
    }

    /// Why a request got no answer, or no whole one.
    func error(_ request: APIRequest, _ error: HTTPError) -> KubernetesError {
        KubernetesError(
            error.kind == .bodyTooLarge ? .malformed : .unreachable,
            request: request.summary,
            problem: "\(configuration.server): \(error.reason)"
        )
    }

    // MARK: Attempts

    private typealias Read<Value> = (HTTPResponseStream, HTTPClient) async throws -> Value

    /// An attempt that failed.
    private struct Failed: Error {
        var failure: RetryRule.Failure
        var error: KubernetesError
    }

    private func answer<Value: Sendable>(
        _ request: APIRequest,
        deadline: Instant,
        timeout: Duration?,
        read: Read<Value>
    ) async throws -> Value {
        let path = try request.path()
        var attempt = 0
        var isRefreshed = false
        while true {
            try Task.checkCancellation()
            let current = try await value(by: deadline) { [credentials] in
                try await credentials.current(for: request.summary)
            }
            guard let used = current else {
                throw late(request, "credentials for it did not come in time").error
            }
            do {
                return try await self.attempt(request, path, used, deadline, timeout, read)
            } catch let failed as Failed {
                if failed.error.code == 401, !isRefreshed {
                    isRefreshed = true
                    if credentials.refuse(used) { continue }
                }
                attempt += 1
                let pause = options.retryRule.pause(
                    after: failed.failure,
                    attempt: attempt,
                    isRepeatable: request.isRepeatable,
                    remaining: Instant.now.duration(to: deadline),
                    chance: options.chance()
                )
                guard let pause else { throw failed.error }
                logger.debug(
                    "request to the Kubernetes API is repeated",
                    metadata: ["problem": "\(failed.error)", "pause": "\(pause)"]
                )
                try await options.pause(pause)
            }
        }
    }

    private func attempt<Value: Sendable>(
        _ request: APIRequest,
        _ path: String,
        _ used: Credentials,
        _ deadline: Instant,
        _ timeout: Duration?,
        _ read: Read<Value>
    ) async throws -> Value {
        // A watch lasts, and would take a place for as long. An election can't wait behind others: the
        // server keeps places for Leases, too.
        guard request.verb != .watch, request.resource != .leases else {
            return try await exchange(request, path, used, deadline, timeout, read)
        }
        let value = try await gate.run(until: deadline) {
            try await exchange(request, path, used, deadline, timeout, read)
        }
        guard let value else {
            throw late(request, "too many other requests were under way until its time was over")
        }
        return value
    }

    private func exchange<Value: Sendable>(
        _ request: APIRequest,
        _ path: String,
        _ used: Credentials,
        _ deadline: Instant,
        _ timeout: Duration?,
        _ read: Read<Value>
    ) async throws -> Value {
        let http = http.withLock { $0 }
        let begin = Instant.now
        guard begin < deadline else {
            throw late(request, "the time for it was over before it was sent")
        }
        do {
            let whole = httpRequest(
                request,
                path,
                used,
                timeout: timeout ?? begin.duration(to: deadline)
            )
            let stream: HTTPResponseStream? =
                timeout == nil
                ? try await http.stream(whole)
                // It may last for longer than until its head is there.
                : try await value(by: deadline) { try await http.stream(whole) }
            guard let stream else {
                count(request, 0)
                giveUp(http, ifSilentSince: begin)
                throw late(request, "no answer came in time")
            }
            guard (200..<300).contains(stream.head.status) else {
                throw try await refusal(request, stream)
            }
            let value = try await read(stream, http)
            count(request, stream.head.status)
            return value
        } catch let error as HTTPError {
            count(request, 0)
            if error.kind == .timedOut { giveUp(http, ifSilentSince: begin) }
            throw failed(request, error)
        }
    }

    /// What `body` gives, or nil when that does not come by `deadline`.
    private func value<Value: Sendable>(
        by deadline: Instant,
        of body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value? {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(until: deadline, clock: .continuous)
                return nil
            }
            return try await group.next() ?? nil
        }
    }

    private func httpRequest(
        _ request: APIRequest,
        _ path: String,
        _ used: Credentials,
        timeout: Duration
    ) -> HTTPRequest {
        var headers = [
            HTTPField("Accept", "application/json"), HTTPField("User-Agent", options.userAgent),
        ]
        headers += used.headers
        if request.body != nil { headers.append(HTTPField("Content-Type", request.contentType)) }
        var result = HTTPRequest(
            request.method,
            configuration.server + path,
            headers: headers,
            body: request.body,
            connectTimeout: .seconds(10),
            timeout: timeout
        )
        result.connection = configuration.connection
        result.connection.authorities = used.authorities
        result.connection.certificate = used.certificate
        result.connection.key = used.key
        result.acceptsCompressed = configuration.acceptsCompressed && request.verb != .watch
        result.backlogLimit = request.verb == .watch ? options.backlogLimit : Self.bodyLimit
        return result
    }

    // MARK: Failures

    private func refusal(
        _ request: APIRequest,
        _ stream: HTTPResponseStream
    ) async throws -> Failed {
        // What it says helps; when it does not come whole the code is enough.
        var body: [UInt8] = []
        do {
            body = try await stream.body.whole(limit: 1024 * 1024)
        } catch is HTTPError {}
        count(request, stream.head.status)
        let status = KubernetesError.Status(stream.head, body)
        let error = KubernetesError(
            .status(status),
            request: request.summary,
            problem: status.problem
        )
        return Failed(failure: .status(status), error: error)
    }

    private func failed(_ request: APIRequest, _ error: HTTPError) -> Failed {
        let failure: RetryRule.Failure =
            switch error.kind {
            case .cannotConnect: .notConnected
            case .failed, .shutDown: .broken
            case .timedOut, .bodyTooLarge, .untrusted: .final
            }
        return Failed(failure: failure, error: self.error(request, error))
    }

    private func late(_ request: APIRequest, _ problem: String) -> Failed {
        Failed(
            failure: .final,
            error: KubernetesError(
                .unreachable,
                request: request.summary,
                problem: "\(configuration.server): \(problem)"
            )
        )
    }

    /// Ends all connections of `http` when nothing was heard over them since `begin`.
    ///
    /// libcurl would go on to use a shared connection on which requests get no answer.
    private func giveUp(_ http: HTTPClient, ifSilentSince begin: Instant) {
        guard begin.duration(to: .now) >= suspiciousSilence,
            http.lastReceipt.map({ $0 < begin }) ?? true
        else { return }
        let isCurrent = self.http.withLock { current in
            guard current === http else { return false }
            current = HTTPClient(maxConnectionsPerHost: 64)
            return true
        }
        guard isCurrent else { return }
        logger.warning(
            "the Kubernetes API does not answer; its connections are given up",
            metadata: ["server": "\(configuration.server)"]
        )
        http.shutDown()
    }

    private func count(_ request: APIRequest, _ code: Int) {
        counts.withLock {
            $0[RequestKind(verb: request.verb.rawValue, code: code), default: 0] += 1
        }
    }
}
