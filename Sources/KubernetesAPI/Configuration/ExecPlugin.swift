internal import FoundationEssentials

/// A program that prints credentials (`users[].user.exec` of a kubeconfig).
struct ExecPlugin: Sendable {
    /// Whether it may ask a person.
    enum InteractiveMode: String, CaseIterable, Sendable {
        case never = "Never"
        case ifAvailable = "IfAvailable"
        case always = "Always"
    }

    /// Where the kubeconfig names it: `/home/me/.kube/config: users[0].user.exec`.
    var place: String
    var command: String
    var arguments: [String] = []
    /// Beside the environment of this program.
    var environment: [(name: String, value: String)] = []
    var apiVersion: String
    var interactiveMode: InteractiveMode
    /// What to do when there is no such program.
    var installHint = ""
    /// The cluster, when the program is to be told of it.
    var cluster: ExecCredential.Cluster?

    static let apiVersions = [
        "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1",
    ]

    /// `KUBERNETES_EXEC_INFO`.
    func execInfo(isInteractive: Bool) throws -> String {
        let spec = ExecCredential.Spec(cluster: cluster, interactive: isInteractive)
        let info = ExecCredential(apiVersion: apiVersion, kind: "ExecCredential", spec: spec)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(info), as: UTF8.self)
    }

    /// What the program printed.
    ///
    /// - Throws: `PluginProblem`, which does not repeat it, as secrets are in it.
    func answer(in output: [UInt8]) throws(PluginProblem) -> PluginAnswer {
        let credential: ExecCredential
        do {
            credential = try JSONDecoder().decode(ExecCredential.self, from: Data(output))
        } catch {
            throw PluginProblem("it printed no ExecCredential: \(decodingProblem(error))")
        }
        guard credential.kind == "ExecCredential" else {
            throw PluginProblem("it printed no ExecCredential: kind is another")
        }
        guard credential.apiVersion == apiVersion else {
            throw PluginProblem("it printed another apiVersion than \(apiVersion)")
        }
        guard let status = credential.status else {
            throw PluginProblem("it printed an ExecCredential without status")
        }
        var answer = PluginAnswer()
        if let token = status.token, !token.isEmpty { answer.token = token }
        answer.certificate = status.clientCertificateData.map { Array($0.utf8) }
        answer.key = status.clientKeyData.map { Array($0.utf8) }
        guard (answer.certificate == nil) == (answer.key == nil) else {
            throw PluginProblem(
                "it printed one of clientCertificateData and clientKeyData without the other"
            )
        }
        guard answer.token != nil || answer.certificate != nil else {
            throw PluginProblem("it printed neither a token nor a certificate")
        }
        if let text = status.expirationTimestamp {
            guard let date = rfc3339(text) else {
                throw PluginProblem("it printed an expirationTimestamp that is no RFC 3339 time")
            }
            answer.expiry = date
        }
        return answer
    }
}

/// What a plugin gave.
struct PluginAnswer: Sendable {
    var token: String?
    var certificate: [UInt8]?
    var key: [UInt8]?
    /// When another answer is needed; nil is when the server refuses this one.
    var expiry: Date?
}

/// What a plugin did wrong.
struct PluginProblem: Error {
    var text: String
    init(_ text: String) { self.text = text }
}

/// What a plugin is told and what it prints.
struct ExecCredential: Codable, Sendable {
    struct Spec: Codable, Sendable {
        var cluster: Cluster?
        var interactive: Bool?
    }

    struct Cluster: Codable, Sendable {
        var server: String
        var serverName: String?
        var isInsecure: Bool?
        var authorities: Data?
        var proxy: String?
        var isUncompressed: Bool?
        /// What the cluster's extension `client.authentication.k8s.io/exec` says, as JSON.
        var config: ConfigurationValue?

        init(server: String) { self.server = server }

        mutating func setAuthorities(_ pem: [UInt8]) { authorities = Data(pem) }

        private enum CodingKeys: String, CodingKey {
            case server
            case serverName = "tls-server-name"
            case isInsecure = "insecure-skip-tls-verify"
            case authorities = "certificate-authority-data"
            case proxy = "proxy-url"
            case isUncompressed = "disable-compression"
            case config
        }
    }

    struct Status: Codable, Sendable {
        var expirationTimestamp: String?
        var token: String?
        var clientCertificateData: String?
        var clientKeyData: String?
    }

    var apiVersion: String
    var kind: String
    var spec: Spec?
    var status: Status?
}

/// Any value of a kubeconfig, for what only a plugin understands.
enum ConfigurationValue: Codable, Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([ConfigurationValue])
    case map([String: ConfigurationValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([ConfigurationValue].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: ConfigurationValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .list(let values): try container.encode(values)
        case .map(let values): try container.encode(values)
        }
    }
}

/// The time that RFC 3339 text such as `2026-01-02T03:04:05.678Z` names; nil when it names none.
func rfc3339(_ text: String) -> Date? {
    if let date = try? Date(text, strategy: .iso8601) { return date }
    let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    return try? Date(text, strategy: style)
}
