import Foundation
import HTTPClient
import Logging
import MeshTesting
import Synchronization
import Testing

@testable import KubernetesAPI

/// What the client does about answers that are failures, of servers that give them as they are told.
@Suite(.timeLimit(.minutes(2)))
struct ClientRetryTests {
    private typealias ConfigMap = ClientServerTests.ConfigMap
    private static let configMaps = ClientServerTests.configMaps
    private static let key = ObjectKey(namespace: "demo", name: "a")
    private static let found = ScriptedServer.Answer(200, #"{"metadata": {"name": "a"}}"#)

    private static func status(
        _ code: Int,
        _ reason: String,
        headers: [String: String] = [:]
    ) -> ScriptedServer.Answer {
        let text = """
            {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": \(code),
            "reason": "\(reason)", "message": "no \\n luck"}
            """
        return ScriptedServer.Answer(code, headers: headers, text)
    }

    /// The pauses that a client made, none of which takes time.
    private final class Pauses: Sendable {
        let made = Mutex<[Duration]>([])
        var all: [Duration] { made.withLock { $0 } }
    }

    private static func client(
        _ server: String,
        _ pauses: Pauses = Pauses(),
        change: (inout KubernetesClient.Options) -> Void = { _ in }
    ) -> KubernetesClient {
        var options = KubernetesClient.Options(version: "1.2.3")
        options.chance = { 1 }
        options.pause = { pause in
            try Task.checkCancellation()
            pauses.made.withLock { $0.append(pause) }
        }
        change(&options)
        return KubernetesClient(
            KubernetesConfiguration(server: server, token: "SECRET"),
            options: options,
            logger: Logger(label: "test")
        )
    }

    @Test(arguments: [429, 500, 502, 503, 504])
    func `a read that is turned down is repeated`(_ code: Int) async throws {
        let server = try await ScriptedServer([
            Self.status(code, "Busy"), Self.status(code, "Busy"), Self.found,
        ])
        let pauses = Pauses()
        let client = Self.client(server.endpoint, pauses)
        let object = try await client.get(ConfigMap.self, Self.configMaps, Self.key)
        #expect(object.metadata.name == "a")
        #expect(pauses.all == [.milliseconds(200), .milliseconds(400)])
        #expect(
            client.requestCounts == [
                RequestKind(verb: "get", code: code): 2, RequestKind(verb: "get", code: 200): 1,
            ]
        )
    }

    @Test func `a write is repeated only when the server says that it did nothing`() async throws {
        let server = try await ScriptedServer([Self.status(429, "TooManyRequests"), Self.found])
        let pauses = Pauses()
        let client = Self.client(server.endpoint, pauses)
        try await client.patch(Self.configMaps, Self.key, .merge, ["a": 1])
        #expect(pauses.all.count == 1)
        try await server.answer([Self.status(503, "ServiceUnavailable"), Self.found])
        let error = await #expect(throws: KubernetesError.self) {
            try await client.patch(Self.configMaps, Self.key, .merge, ["a": 1])
        }
        #expect(error?.code == 503)
        #expect(pauses.all.count == 1)
    }

    @Test func `a write that reached no server is repeated`() async throws {
        let pauses = Pauses()
        let client = Self.client("http://127.0.0.1:1", pauses) { options in
            options.pause = { pause in
                pauses.made.withLock { $0.append(pause) }
                if pauses.all.count == 3 { throw CancellationError() }
            }
        }
        await #expect(throws: CancellationError.self) {
            try await client.delete(Self.configMaps, Self.key)
        }
        #expect(client.requestCounts == [RequestKind(verb: "delete", code: 0): 3])
    }

    @Test func `a pause that the server asks for is kept`() async throws {
        let server = try await ScriptedServer([
            Self.status(429, "TooManyRequests", headers: ["Retry-After": "7"]), Self.found,
        ])
        let pauses = Pauses()
        let client = Self.client(server.endpoint, pauses)
        _ = try await client.get(ConfigMap.self, Self.configMaps, Self.key)
        #expect(pauses.all == [.seconds(7) + .milliseconds(200)])
    }

    @Test func `a pause that would last past the deadline is not made`() async throws {
        let server = try await ScriptedServer([
            Self.status(429, "TooManyRequests", headers: ["Retry-After": "3600"]), Self.found,
        ])
        let pauses = Pauses()
        let error = await #expect(throws: KubernetesError.self) {
            try await Self.client(server.endpoint, pauses)
                .get(ConfigMap.self, Self.configMaps, Self.key)
        }
        #expect(pauses.all == [])
        guard case .status(let status) = error?.kind else { return #expect(Bool(false)) }
        let expected = KubernetesError.Status(
            code: 429,
            reason: "TooManyRequests",
            message: "no luck",
            retryAfterSeconds: 3600
        )
        #expect(status == expected)
        #expect(error?.description == "get configmaps demo/a: TooManyRequests (429): no luck")
    }

    @Test func `an answer of another server is told in short`() async throws {
        let text = "<html>\n\n" + String(repeating: "sorry ", count: 10_000)
        let server = try await ScriptedServer([ScriptedServer.Answer(404, text)])
        let error = await #expect(throws: KubernetesError.self) {
            try await Self.client(server.endpoint).list(ConfigMap.self, Self.configMaps)
        }
        #expect(error?.isNotFound == true)
        #expect(error?.problem.hasPrefix("the server answered 404: <html> sorry ") == true)
        #expect((error?.problem.count ?? 0) < 300)
    }

    @Test(
        arguments: [
            ("nonsense", "it is no JSON"), ("[]", "it is no JSON"),
            (#"{"items": []}"#, "metadata is missing"),
            (
                #"{"metadata": {}, "items": [{"metadata": {}}]}"#,
                "items[0].metadata.name is missing"
            ),
            (String(repeating: "[", count: 100_000), "it is no JSON"),
            (#"{"metadata": {}, "items": 1}"#, "it is no JSON"),
        ]
    )
    func `an answer that makes no sense is told`(body: String, problem: String) async throws {
        let server = try await ScriptedServer([ScriptedServer.Answer(200, body)])
        let error = await #expect(throws: KubernetesError.self) {
            try await Self.client(server.endpoint).list(ConfigMap.self, Self.configMaps)
        }
        #expect(error?.kind == .malformed)
        #expect(error?.description == "list configmaps: the answer cannot be read: \(problem)")
    }

    @Test func `what is asked is escaped, and says who asks`() async throws {
        let server = try await ScriptedServer([Self.found])
        let client = Self.client(server.endpoint + "/base/")
        let nodes = KubernetesResource(
            group: "appmesh.k8s.aws",
            version: "v1beta2",
            plural: "virtualnodes",
            kind: "VirtualNode"
        )
        try await client.patch(
            nodes,
            ObjectKey(namespace: "demo", name: "a?b %&"),
            subresource: "status",
            .apply(fieldManager: "a&b", force: true),
            ["ü": 1]
        )
        let request = try #require(try await server.requests().first)
        #expect(
            request.path == "/base/apis/appmesh.k8s.aws/v1beta2/namespaces/demo/virtualnodes/"
                + "a%3Fb%20%25%26/status?fieldManager=a%26b&force=true"
        )
        #expect(request.method == "PATCH")
        #expect(request.body == #"{"ü":1}"#)
        #expect(request.headers["content-type"] == "application/apply-patch+yaml")
        #expect(request.headers["user-agent"] == "heddle/1.2.3")
        #expect(request.headers["accept"] == "application/json")
        #expect(request.headers["accept-encoding"]?.contains("gzip") == true)
        #expect(request.headers["authorization"] == "Bearer SECRET")
    }

    @Test func `a fixed token that is refused is asked with once, and never shown`() async throws {
        let server = try await ScriptedServer([Self.status(401, "Unauthorized"), Self.found])
        let client = Self.client(server.endpoint)
        let error = await #expect(throws: KubernetesError.self) {
            try await client.get(ConfigMap.self, Self.configMaps, Self.key)
        }
        #expect(error?.code == 401)
        #expect(try await server.requests().count == 1)
        var text = ""
        dump(error, to: &text)
        #expect(!text.contains("SECRET"))
    }

    @Test func `a token file that was replaced is read again when the old token is refused`()
        async throws
    {
        try await TestFolder.use { folder in
            let server = try await ScriptedServer([Self.found])
            let token = try folder.write("token", "one\n")
            var configuration = KubernetesConfiguration(server: server.endpoint)
            configuration.user.tokenFile = token
            let client = KubernetesClient(configuration, logger: Logger(label: "test"))
            _ = try await client.get(ConfigMap.self, Self.configMaps, Self.key)
            try folder.write("token", "two")
            _ = try await client.get(ConfigMap.self, Self.configMaps, Self.key)
            // While it is not there, the last one holds.
            try FileManager.default.removeItem(atPath: token)
            _ = try await client.get(ConfigMap.self, Self.configMaps, Self.key)
            let sent = try await server.requests().map { $0.headers["authorization"] }
            #expect(sent == ["Bearer one", "Bearer two", "Bearer two"])
            // It is the same still, so there is no use in asking again.
            try await server.answer([Self.status(401, "Unauthorized"), Self.found])
            await #expect(throws: KubernetesError.self) {
                try await client.get(ConfigMap.self, Self.configMaps, Self.key)
            }
        }
    }

    // MARK: Watches

    private static func watch(
        _ answer: ScriptedServer.Answer,
        lineLimit: Int = 1000
    ) async throws -> (events: [String], error: KubernetesError?) {
        let server = try await ScriptedServer([answer])
        let client = client(server.endpoint) { $0.lineLimit = lineLimit }
        var told: [String] = []
        do {
            let events = client.watch(
                ConfigMap.self,
                configMaps,
                from: "1",
                timeoutSeconds: 10
            )
            for try await event in events {
                switch event {
                case .begun: break
                case .added(let object): told.append("added \(object.metadata.name)")
                case .modified(let object): told.append("modified \(object.metadata.name)")
                case .deleted(let object): told.append("deleted \(object.metadata.name)")
                case .bookmark(let version): told.append("bookmark \(version)")
                }
            }
            let request = try await server.requests().first
            #expect(
                request?.path == "/api/v1/configmaps?watch=true&allowWatchBookmarks=true&"
                    + "resourceVersion=1&timeoutSeconds=10"
            )
            return (told, nil)
        } catch let error as KubernetesError {
            return (told, error)
        }
    }

    private static let lines = """
        {"type": "ADDED", "object": {"metadata": {"name": "a"}}}
        {"type": "MODIFIED", "object": {"metadata": {"name": "b"}}}

        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
        {"type": "DELETED", "object": {"metadata": {"name": "c"}}}

        """
    private static let events = ["added a", "modified b", "bookmark 7", "deleted c"]

    @Test func `a watch tells events in order, and no half one`() async throws {
        let rest = #"{"type": "ADDED", "obj"#
        let (events, error) = try await Self.watch(ScriptedServer.Answer(200, Self.lines + rest))
        #expect(events == Self.events)
        #expect(error == nil)
    }

    @Test func `a watch ends with the error that the server tells`() async throws {
        let expired = """
            {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired",
            "message": "too old resource version"}}
            """.replacing("\n", with: " ")
        let (events, error) = try await Self.watch(
            ScriptedServer.Answer(200, Self.lines + expired + "\n")
        )
        #expect(events == Self.events)
        #expect(error?.isExpired == true)
        #expect(
            error?.description == "watch configmaps: Expired (410): too old resource version"
        )
    }

    @Test(
        arguments: [
            (
                #"{"type": "ADDED", "object": {}}"#,
                "an event cannot be read: object.metadata is missing"
            ),
            (#"{"type": "GROWN", "object": {}}"#, "an event cannot be read: type is invalid"),
            ("nonsense", "an event cannot be read: it is no JSON"),
            (String(repeating: "x", count: 1001), "an event is longer than any object may be"),
        ]
    )
    func `a watch ends with an event that makes no sense`(
        line: String,
        problem: String
    ) async throws {
        let (events, error) = try await Self.watch(
            ScriptedServer.Answer(200, Self.lines + line + "\n")
        )
        // Those before it that came in one piece with a line that is too long are not told.
        #expect(events == (line.count > 1000 ? [] : Self.events))
        #expect(error?.kind == .malformed)
        #expect(error?.description == "watch configmaps: \(problem)")
    }

    @Test func `lines are cut wherever the pieces of a watch end`() throws {
        let bytes = Array("one\ntwo\n\nthree\nfour".utf8)
        for size in 1...bytes.count {
            var splitter = LineSplitter(limit: 5)
            var lines: [String] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                let piece = Array(bytes[start..<min(start + size, bytes.count)])
                lines += try splitter.lines(in: piece).map { String(decoding: $0, as: UTF8.self) }
            }
            #expect(lines == ["one", "two", "three"])
        }
        var short = LineSplitter(limit: 3)
        #expect(throws: LineSplitter.TooLong.self) { try short.lines(in: Array("four".utf8)) }
    }
}

/// When a request is made again.
struct ClientRetryRuleTests {
    private static func pause(
        _ failure: RetryRule.Failure,
        attempt: Int = 1,
        isRepeatable: Bool = true,
        remaining: Duration = .seconds(30),
        chance: Double = 0
    ) -> Duration? {
        RetryRule().pause(
            after: failure,
            attempt: attempt,
            isRepeatable: isRepeatable,
            remaining: remaining,
            chance: chance
        )
    }

    private static func status(_ code: Int, after seconds: Int? = nil) -> RetryRule.Failure {
        .status(KubernetesError.Status(code: code, retryAfterSeconds: seconds))
    }

    @Test func `pauses double up to a limit, and are spread`() {
        let pauses = (1...7).map { Self.pause(.broken, attempt: $0, chance: 1) }
        #expect(
            pauses == [200, 400, 800, 1600, 3200, 5000, 5000].map { Duration.milliseconds($0) }
        )
        #expect(Self.pause(.broken, attempt: 3, chance: 0) == .milliseconds(400))
        #expect(Self.pause(.broken, attempt: .max, chance: 0) == .milliseconds(2500))
    }

    @Test func `what may have been done is not done again`() {
        for code in [500, 502, 503, 504] {
            #expect(Self.pause(Self.status(code), isRepeatable: false) == nil)
            #expect(Self.pause(Self.status(code)) != nil)
        }
        #expect(Self.pause(.broken, isRepeatable: false) == nil)
        #expect(Self.pause(.notConnected, isRepeatable: false) != nil)
        #expect(Self.pause(Self.status(429), isRepeatable: false) != nil)
        for code in [400, 401, 403, 404, 409, 410, 422, 501] {
            #expect(Self.pause(Self.status(code)) == nil)
        }
        #expect(Self.pause(.final) == nil)
    }

    @Test func `no pause lasts past the deadline`() {
        #expect(Self.pause(.broken, remaining: .milliseconds(100)) == nil)
        #expect(Self.pause(.broken, remaining: .milliseconds(101)) == .milliseconds(100))
        #expect(Self.pause(Self.status(503, after: 30)) == nil)
        #expect(Self.pause(Self.status(503, after: 29)) == .milliseconds(29_100))
        #expect(Self.pause(Self.status(503, after: .max)) == nil)
        #expect(Self.pause(Self.status(503, after: .min)) == .milliseconds(100))
    }
}
