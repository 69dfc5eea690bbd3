internal import Foundation
internal import HTTPClient

extension KubernetesServer {
    /// Whether a program runs, be it paused.
    public func isRunning(_ program: Program) -> Bool {
        processID(of: program).map(isProcessRunning) ?? false
    }

    /// Kills a program as `kill -9` does, and waits until it is gone.
    public func kill(_ program: Program) async throws {
        signal(program, SIGKILL)
        try await poll {
            isRunning(program)
        } until: {
            !$0
        }
        forget(program)
    }

    /// Kills a program and starts it again with the data it had.
    public func restart(_ program: Program) async throws {
        try await kill(program)
        try await start(program)
    }

    /// Has a program stand still: its connections stay, and nothing is answered.
    public func pause(_ program: Program) { signal(program, SIGSTOP) }

    /// Has a program go on that was paused.
    public func resume(_ program: Program) { signal(program, SIGCONT) }

    private func signal(_ program: Program, _ signal: Int32) {
        guard let processID = processID(of: program) else { return }
        _ = Foundation.kill(processID, signal)
    }

    /// Has etcd forget all versions before the present one.
    ///
    /// The API server keeps recent changes in a cache of its own: it goes on to tell them to watches
    /// unless it is restarted, or was started with `--watch-cache=false`.
    public func compact() async throws {
        struct Range: Decodable {
            struct Header: Decodable { var revision: String }
            var header: Header
        }
        // Keys are in base64; this one is a zero byte.
        let range = try await etcd("range", #"{"key":"AA=="}"#)
        let revision = try JSONDecoder().decode(Range.self, from: Data(range.utf8)).header.revision
        try await etcd("compaction", #"{"revision":\#(revision),"physical":true}"#)
    }

    @discardableResult
    private func etcd(_ operation: String, _ body: String) async throws -> String {
        let url = "http://127.0.0.1:\(etcdPort)/v3/kv/\(operation)"
        let response = try await client.response(
            to: HTTPRequest("POST", url, body: Array(body.utf8))
        )
        guard response.status == 200 else {
            throw KubernetesRefusal(status: response.status, text: response.text)
        }
        return response.text
    }

    /// A request that an audited server answered.
    public struct AuditedRequest: Decodable, Sendable {
        /// What a request is about.
        public struct Object: Decodable, Sendable {
            /// The name in URLs: `pods`.
            public var resource: String?
            /// `status`, ...
            public var subresource: String?
            /// The namespace.
            public var namespace: String?
            /// The name.
            public var name: String?
        }
        /// Who asked.
        public struct User: Decodable, Sendable {
            /// `admin`, `system:serviceaccount:demo:heddle`, ...
            public var username: String
            /// What a token told beside that.
            public var extra: [String: [String]]?
            /// The Pod to which the token was bound.
            public var pod: String? { extra?["authentication.kubernetes.io/pod-name"]?.first }
        }
        /// What came of it.
        public struct Status: Decodable, Sendable {
            /// The HTTP status.
            public var code: Int
        }
        /// An object, of writes of statuses and Events only.
        public struct Answer: Decodable, Sendable {
            /// What all objects have.
            public struct Metadata: Decodable, Sendable {
                /// The version after the write, which is that before it when nothing changed.
                public var resourceVersion: String?
            }
            /// What all objects have.
            public var metadata: Metadata?
        }

        /// `list`, `watch`, `patch`, ...
        public var verb: String
        /// Path and query.
        public var requestURI: String
        /// Who asked.
        public var user: User
        /// What the program called itself.
        public var userAgent: String?
        /// What it was about; nil of requests like `/readyz`.
        public var objectRef: Object?
        /// What came of it.
        public var responseStatus: Status?
        /// The object as it is then.
        public var responseObject: Answer?
        /// When it arrived, in RFC 3339 with microseconds.
        public var requestReceivedTimestamp: String
    }

    /// All requests that were answered so far, which needs `Options.isAudited`.
    ///
    /// Those of watches are there twice: once they begin and once they end.
    public func requests() throws -> [AuditedRequest] {
        let text = (try? String(contentsOfFile: auditLog, encoding: .utf8)) ?? ""
        // The last line may still be written.
        let lines = text.split(separator: "\n").dropLast(text.hasSuffix("\n") ? 0 : 1)
        return try lines.map {
            try JSONDecoder().decode(AuditedRequest.self, from: Data($0.utf8))
        }
    }
}

/// Whether a process runs, be it paused.
func isProcessRunning(_ processID: Int32) -> Bool {
    guard let text = try? String(contentsOfFile: "/proc/\(processID)/stat", encoding: .utf8) else {
        return false
    }
    // The state comes after the name, which is in parentheses.
    let state = text.split(separator: ")").last?.first { $0 != " " }
    return state != "Z" && state != "X"
}
