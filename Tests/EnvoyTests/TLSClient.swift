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
        /// The answers other than 200, and errors.
        var failures: [String] = []
    }

    private let outcome = Mutex(Outcome())
    private let isOver = Mutex(false)

    /// Runs `body` while several clients repeat `request`, each as soon as it is answered.
    ///
    /// - Returns: What came of all requests.
    static func run(
        _ request: @escaping @Sendable () async throws -> HTTPResponse,
        _ body: () async throws -> Void
    ) async throws -> Outcome {
        let load = Load()
        try await withThrowingTaskGroup { group in
            for _ in 0..<3 {
                group.addTask { await load.repeatUntilOver(request) }
            }
            defer { load.isOver.withLock { $0 = true } }
            try await body()
        }
        return load.outcome.withLock { $0 }
    }

    private func repeatUntilOver(
        _ request: @escaping @Sendable () async throws -> HTTPResponse
    ) async {
        while !isOver.withLock({ $0 }), !Task.isCancelled {
            var failure: String?
            do {
                let response = try await request()
                if response.status != 200 { failure = "\(response.status): \(response.text)" }
            } catch {
                failure = "\(error)"
            }
            outcome.withLock { outcome in
                outcome.requests += 1
                if let failure { outcome.failures.append(failure) }
            }
        }
    }
}
