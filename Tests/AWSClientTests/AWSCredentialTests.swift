@testable import AWSClient
import Foundation
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// Where credentials are found.
@Suite(.timeLimit(.minutes(1)))
final class AWSCredentialTests {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("aws-credentials-\(UUID().uuidString.prefix(8))")
    let time = Time()

    final class Time: Sendable {
        let seconds = Mutex(1_800_000_000)
    }

    init() throws {
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent(".aws"),
            withIntermediateDirectories: true
        )
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func chain(_ environment: [String: String]) -> AWSCredentialChain {
        let variables = ["HOME": folder.path, "AWS_EC2_METADATA_DISABLED": "true"]
            .merging(environment) { _, new in new }
        return AWSCredentialChain(environment: variables, http: HTTPClient()) { [time] in
            time.seconds.withLock { $0 }
        }
    }

    private func write(_ text: String, to name: String = ".aws/credentials") throws -> String {
        let url = folder.appendingPathComponent(name)
        try Data(text.utf8).write(to: url, options: .atomic)
        return url.path
    }

    private func problem(_ environment: [String: String]) async -> AWSCredentialsProblem? {
        await #expect(throws: AWSCredentialsProblem.self) {
            try await chain(environment).credentials()
        }
    }

    // MARK: Environment and file

    @Test func `the environment comes before the file`() async throws {
        _ = try write("[default]\naws_access_key_id = F\naws_secret_access_key = S\n")
        let keys = ["AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "T"]
        let plain = try await chain(keys).credentials()
        #expect(plain == AWSCredentials(accessKeyID: "E", secretAccessKey: "T"))
        let token = ["AWS_SESSION_TOKEN": "U"].merging(keys) { old, _ in old }
        #expect(try await chain(token).credentials().sessionToken == "U")
    }

    @Test func `half of a key in the environment is a mistake`() async {
        let problem = await problem(["AWS_ACCESS_KEY_ID": "E"])
        #expect(problem?.problem == "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY")
    }

    @Test func `a profile is read as AWS' tools do`() async throws {
        let text = """
            # comment
            [default]
            aws_access_key_id=D
            aws_secret_access_key=x=y
            ; comment
            [ work ]
              AWS_ACCESS_KEY_ID =  W
            aws_secret_access_key = w
            aws_session_token = t
            region = eu-west-1
            """
        let path = try write(text.replacing("\n", with: "\r\n"), to: "keys")
        let file = ["AWS_SHARED_CREDENTIALS_FILE": path]
        let plain = try await chain(file).credentials()
        #expect(plain == AWSCredentials(accessKeyID: "D", secretAccessKey: "x=y"))
        let work = try await chain(file.merging(["AWS_PROFILE": "work"]) { old, _ in old })
            .credentials()
        #expect(work == AWSCredentials(accessKeyID: "W", secretAccessKey: "w", sessionToken: "t"))
    }

    @Test func `a renewed file is used for the next request`() async throws {
        let chain = chain([:])
        for key in ["A", "B"] {
            _ = try write("[default]\naws_access_key_id = \(key)\naws_secret_access_key = S\n")
            #expect(try await chain.credentials().accessKeyID == key)
        }
    }

    @Test func `a profile that is missing is told with those there are`() async throws {
        let path = try write("[default]\n[work]\naws_access_key_id = W\n")
        let missing = await problem(["AWS_PROFILE": "wrok"])
        #expect(missing?.problem == "\(path): no profile \"wrok\"")
        #expect(missing?.remedy == "set AWS_PROFILE to one of: default, work")
        let half = await problem(["AWS_PROFILE": "work"])
        #expect(half?.problem.contains("profile \"work\" has not both") == true)
    }

    @Test func `a file that is named and missing is a mistake`() async {
        let problem = await problem(["AWS_SHARED_CREDENTIALS_FILE": "/nowhere/keys"])
        #expect(problem?.problem == "cannot read the AWS credentials file /nowhere/keys")
    }

    @Test func `nothing found says where to put it`() async {
        let problem = await problem([:])
        #expect(problem?.problem == "no AWS credentials found")
        #expect(problem?.remedy.contains("\(folder.path)/.aws/credentials") == true)
    }

    @Test(arguments: ["a b", "a\n", "schlüssel"])
    func `a key that no request can carry is a mistake`(secret: String) async {
        let problem = await problem(["AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": secret])
        #expect(problem?.problem.contains("hold a space or a control character") == true)
        #expect(problem?.problem.contains(secret) == false)
    }

    @Test func `credentials show nothing of themselves`() {
        let credentials = AWSCredentials(
            accessKeyID: "AKIA1",
            secretAccessKey: "SECRET1",
            sessionToken: "TOKEN1"
        )
        var text = "\(credentials) \(String(reflecting: credentials)) \([credentials])"
        dump(credentials, to: &text)
        #expect(["AKIA1", "SECRET1", "TOKEN1"].allSatisfy { !text.contains($0) })
    }

    // MARK: Containers

    private func answer(_ key: String, _ end: String) -> ScriptedServer.Answer {
        .init(
            200,
            #"{"AccessKeyId":"\#(key)","SecretAccessKey":"s","Token":"t","Expiration":"\#(end)"}"#
        )
    }

    @Test func `a container's credentials are kept until shortly before their end`() async throws {
        // 1,800,000,000 is 2027-01-15T08:00:00Z.
        let server = try await ScriptedServer([
            answer("A", "2027-01-15T09:00:00Z"), answer("B", "2027-01-15T10:00:00Z"),
            .init(500),
        ])
        let path = try write("let-me-in\n", to: "token")
        let chain = chain([
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": server.endpoint + "/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path,
        ])
        let first = AWSCredentials(accessKeyID: "A", secretAccessKey: "s", sessionToken: "t")
        #expect(try await chain.credentials() == first)
        time.seconds.withLock { $0 += 54 * 60 }
        #expect(try await chain.credentials().accessKeyID == "A")
        #expect(try await server.requests().count == 1)
        time.seconds.withLock { $0 += 2 * 60 }
        #expect(try await chain.credentials().accessKeyID == "B")
        // The endpoint fails, and the old ones have not ended yet.
        time.seconds.withLock { $0 += 62 * 60 }
        #expect(try await chain.credentials().accessKeyID == "B")
        time.seconds.withLock { $0 += 60 * 60 }
        let error = await #expect(throws: AWSCredentialsProblem.self) {
            try await chain.credentials()
        }
        #expect(error?.problem.hasSuffix("it answers 500") == true)
        let requests = try await server.requests()
        #expect(requests.map(\.path) == Array(repeating: "/v1/credentials", count: 4))
        #expect(requests.allSatisfy { $0.headers["authorization"] == "let-me-in" })
    }

    @Test(
        arguments: [
            "http://example.com/creds", "http://127.0.0.1.example.com/", "http://[::2]/", "ftp://x",
            "http://127.0.0.1@example.com/", "http://127.0.0.1:80@example.com/",
        ]
    )
    func `a token goes to no host that could be anybody's`(url: String) async {
        let problem = await problem([
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t",
        ])
        #expect(problem?.problem.contains("names a host without https") == true)
    }

    // MARK: Instances

    private func instance(_ server: ScriptedServer) -> AWSCredentialChain {
        chain([
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.endpoint + "/",
        ])
    }

    @Test func `an instance's role is found with a token`() async throws {
        let server = try await ScriptedServer([
            .init(200, "pass"), .init(200, "mesh-role\n"), answer("I", "2027-01-15T09:00:00Z"),
        ])
        let chain = instance(server)
        for _ in 0..<2 { #expect(try await chain.credentials().accessKeyID == "I") }
        let requests = try await server.requests()
        let folder = "/latest/meta-data/iam/security-credentials/"
        #expect(requests.map(\.path) == ["/latest/api/token", folder, folder + "mesh-role"])
        #expect(requests.map(\.method) == ["PUT", "GET", "GET"])
        #expect(requests[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "300")
        #expect(requests.map { $0.headers["x-aws-ec2-metadata-token"] } == [nil, "pass", "pass"])
    }

    @Test func `an instance without a role is told`() async throws {
        let server = try await ScriptedServer([.init(200, "pass"), .init(404)])
        let error = await #expect(throws: AWSCredentialsProblem.self) {
            try await instance(server).credentials()
        }
        #expect(error?.problem.hasSuffix("this EC2 instance has no role") == true)
    }

    @Test func `what answers at the instance's address elsewhere gives no credentials`()
        async throws
    {
        let server = try await ScriptedServer([.init(405)])
        let error = await #expect(throws: AWSCredentialsProblem.self) {
            try await instance(server).credentials()
        }
        #expect(error?.problem == "no AWS credentials found")
        #expect(try await server.requests().count == 1)
    }

    @Test(.enabled(if: motoIsExpected))
    func `moto's instance has a role`() async throws {
        let moto = try await MotoServer()
        let chain = chain([
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": moto.endpoint,
        ])
        let credentials = try await chain.credentials()
        #expect(credentials.accessKeyID == "test-key")
        #expect(credentials.sessionToken == "test-session-token")
    }
}
