import MeshModel

/// `heddle certificates rotate`: replaces certificates or an authority now.
public struct RotateCommand: Sendable {
    /// What to replace.
    public enum Target: Hashable, Sendable {
        /// Every certificate that Heddle issues or has issued.
        case all
        /// Those of a virtual node or virtual gateway: `namespace/name`, or a name alone.
        case owner(String)
        /// The authority of a Mesh, and then all that it signed.
        case mesh(String)
        /// The root, and then every authority.
        case root
    }

    /// What to replace.
    public var target: Target
    /// `-n`; nil chooses.
    public var namespace: String?

    /// Makes the command for `target`.
    public init(_ target: Target) { self.target = target }

    /// Runs the command, which is done once the replacement has begun.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let (path, subject) = try await pathAndSubject(client)
        let answer = try await console.waiting("rotating \(subject)") {
            try await client.post("\(path)/rotate")
        }
        console.print((answer["message"]?.string ?? "done") + "\n")
        return .ok
    }

    private func pathAndSubject(
        _ client: LocalAPIClient
    ) async throws -> (path: String, subject: String) {
        switch target {
        case .all: return (Certificates.path(), "all certificates")
        case .root: return (Certificates.path(name: "root"), "the root")
        case .mesh(let name):
            return (Certificates.path(name: "mesh.\(name)"), "the authority of Mesh \(name)")
        // As `heddle certificates` lists them.
        case .owner("root"): return (Certificates.path(name: "root"), "the root")
        case .owner(let text) where text.hasPrefix("mesh/"):
            let name = text.dropFirst("mesh/".count)
            return (Certificates.path(name: "mesh.\(name)"), "the authority of Mesh \(name)")
        case .owner(let text):
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
                .map(String.init)
            guard parts.count <= 2, parts.allSatisfy(Self.isName),
                parts.count == 1 || namespace == nil
            else {
                throw ClientFailure(
                    .usage,
                    "\"\(text)\" names no virtual node or gateway; write NAMESPACE/NAME or -n "
                        + "NAMESPACE NAME"
                )
            }
            let namespace =
                parts.count == 2 ? parts[0] : try await namespaceOrOnlyOne(namespace, client)
            let name = parts[parts.count - 1]
            return (
                Certificates.path(namespace: namespace, name: name),
                "the certificates of \(namespace)/\(name)"
            )
        }
    }

    /// Whether `text` can be an object's name, and so a part of a path.
    private static func isName(_ text: String) -> Bool {
        text.first.map { $0 != "." && $0 != "-" } == true
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}

extension Console {
    /// Does `work`, and tells on a terminal what it waits for and since when.
    func waiting<Value: Sendable>(
        _ what: String,
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        progress("\(what) ...")
        defer { progress(nil) }
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                var seconds = 0
                while true {
                    try await Task.sleep(for: .seconds(1))
                    seconds += 1
                    progress("\(what) ... \(humanDuration(seconds: seconds))")
                }
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() ?? nil else { throw CancellationError() }
            return value
        }
    }
}
