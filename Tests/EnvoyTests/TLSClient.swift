import Foundation
import HTTPClient
import MeshTesting
import Synchronization

/// What a client of the test's own got.
struct ClientAnswer: Sendable {
    /// The status; nil when the connection was refused or cut.
    var status: Int?
    /// The answer, or why there is none.
    var text: String
}

/// Asks by `curl`, over TLS unless `scheme` is `http`.
///
/// The client presents `certificate` when it is asked for one. The certificate of the server must have
/// the name in `server` and be signed by the authorities in its file; without `server` any will do.
func curl(
    _ address: String,
    port: Int,
    scheme: String = "https",
    path: String = "/",
    headers: [String] = [],
    as certificate: TestCertificate? = nil,
    server: (name: String, trust: String)? = nil
) async throws -> ClientAnswer {
    var arguments = ["curl", "--silent", "--show-error", "--max-time", "20"]
    arguments += headers.flatMap { ["--header", $0] }
    if let certificate { arguments += ["--cert", certificate.chain, "--key", certificate.key] }
    if let server {
        arguments += ["--cacert", server.trust]
        arguments += ["--connect-to", "\(server.name):\(port):\(address):\(port)"]
    } else {
        arguments += ["--insecure"]
    }
    arguments += ["--write-out", "\nstatus=%{http_code}\n"]
    arguments += ["\(scheme)://\(server?.name ?? address):\(port)\(path)"]
    let output = try await runCommand("/usr/bin/env", arguments).output
    let status = output.firstMatch(of: /status=(\d+)/).flatMap { Int($0.1) }
    return ClientAnswer(status: status == 0 ? nil : status, text: output)
}

/// Requests that go on while a test changes something, and what came of them.
final class Load: Sendable {
    /// What came of them so far.
    struct Outcome: Sendable {
        var requests = 0
        /// The answers by the applications that gave them.
        var answers: [String: Int] = [:]
        /// The answers other than 200, and errors, each with the number of its request.
        var failures: [String] = []
    }

    private let outcome = Mutex(Outcome())
    private let isOver = Mutex(false)
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    private init() {
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Runs `body` while several clients, each on a connection of its own, repeat `request` as soon as it
    /// is answered.
    ///
    /// - Returns: What came of all requests.
    static func run(
        _ request: @escaping @Sendable () async throws -> HTTPResponse,
        _ body: (Load) async throws -> Void
    ) async throws -> Outcome {
        let load = Load()
        try await withThrowingTaskGroup { group in
            for _ in 0..<4 {
                group.addTask { await load.repeatUntilOver(request) }
            }
            defer { load.isOver.withLock { $0 = true } }
            try await body(load)
        }
        return load.outcome.withLock { $0 }
    }

    /// Waits for `count` more requests to end, or to be answered by `name`.
    func more(_ count: Int, by name: String? = nil) async throws {
        func seen() -> Int {
            outcome.withLock { outcome in
                name.map { outcome.answers[$0, default: 0] } ?? outcome.requests
            }
        }
        let goal = seen() + count
        var changes = changes.makeAsyncIterator()
        while seen() < goal {
            guard await changes.next() != nil else { throw CancellationError() }
        }
    }

    /// How many answers came from applications of which `isCounted` is true.
    func answers(_ isCounted: (String) -> Bool) -> Int {
        outcome.withLock { outcome in
            outcome.answers.reduce(0) { isCounted($1.key) ? $0 + $1.value : $0 }
        }
    }

    private func repeatUntilOver(
        _ request: @escaping @Sendable () async throws -> HTTPResponse
    ) async {
        while !isOver.withLock({ $0 }), !Task.isCancelled {
            var name: String?
            var failure: String?
            do {
                let response = try await request()
                name = response.name
                if response.status != 200 { failure = "\(response.status): \(response.text)" }
            } catch {
                failure = "\(error)"
            }
            outcome.withLock { outcome in
                outcome.requests += 1
                if let name { outcome.answers[name, default: 0] += 1 }
                if let failure { outcome.failures.append("\(outcome.requests): \(failure)") }
            }
            changed.yield()
        }
    }
}
