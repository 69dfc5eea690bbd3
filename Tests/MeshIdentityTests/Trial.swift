import Foundation
import Logging
import MeshModel
import MeshTesting
import Synchronization

@testable import MeshIdentity

/// What the keeper's task holds, with clocks that a test turns.
struct Trial {
    let folder: TemporaryFolder
    var holdings: Holdings
    var moment: Moment
    var specs: Set<SecretSpec> = []
    /// What proxies would say of the newest secrets.
    var isDistributed = false
    let log: CapturedLog

    /// It is 2026-11-23T07:00:00Z.
    static let start = Duration.seconds(1_795_417_200)

    init(
        in folder: TemporaryFolder? = nil,
        wanting specs: Set<SecretSpec> = [],
        at wall: Duration = start,
        _ change: (inout IdentityConfiguration) -> Void = { _ in }
    ) throws {
        let folder = try folder ?? TemporaryFolder()
        var configuration = IdentityConfiguration(
            stateDirectory: folder.path,
            installation: "test"
        )
        change(&configuration)
        let log = CapturedLog()
        holdings = try Holdings(
            configuration,
            generator: SeededGenerator(seed: 1),
            at: wall,
            logger: log.logger
        )
        self.folder = folder
        self.specs = specs
        self.log = log
        moment = Moment(wall: wall, steady: .zero)
    }

    /// All that is due at this moment.
    mutating func turn() async {
        let isDistributed = isDistributed
        while await holdings.turn(specs, at: moment, isDistributed: { isDistributed }) {}
    }

    /// `time` later, in one leap.
    mutating func turn(after time: Duration) async {
        moment.wall += time
        moment.steady += time
        await turn()
    }

    /// The wall clock was set.
    mutating func turn(clockSetBy step: Duration) async {
        moment.wall += step
        moment.steady += .seconds(1)
        await turn()
    }

    func material(_ spec: SecretSpec) throws -> SecretMaterial {
        guard let material = holdings.materials[spec] else { throw Missing(spec: spec) }
        return material
    }

    func chain(_ spec: SecretSpec) throws -> String {
        guard case .certificate(let chain, _) = try material(spec).content else {
            throw Missing(spec: spec)
        }
        return chain
    }

    func key(_ spec: SecretSpec) throws -> String {
        guard case .certificate(_, let key) = try material(spec).content else {
            throw Missing(spec: spec)
        }
        return key
    }

    func trust(_ spec: SecretSpec) throws -> String {
        guard case .trust(let text) = try material(spec).content else { throw Missing(spec: spec) }
        return text
    }

    func serial(_ spec: SecretSpec) -> String? { holdings.secrets[spec]?.serial }

    func problem(_ spec: SecretSpec) -> String? { holdings.secrets[spec]?.problem }

    /// The authorities of the Mesh `mesh`, nil of the root, in a phase.
    func authorities(
        _ mesh: String?,
        _ phase: AuthorityObservation.Phase
    ) -> [AuthorityObservation] {
        holdings.authorities.observations(at: moment.wall)
            .filter { $0.mesh == mesh && $0.phase == phase }
    }
}

struct Missing: Error {
    var spec: SecretSpec
}

/// The virtual node `name` of the Mesh `mesh`.
func identity(_ name: String, mesh: String = "color", dnsNames: [String]? = nil) -> Identity {
    Identity(
        mesh: mesh,
        owner: ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: name)),
        uri: "spiffe://\(mesh)/demo/\(name)",
        dnsNames: dnsNames ?? ["\(name).demo.svc.cluster.local"]
    )
}

func issued(_ name: String, mesh: String = "color") -> SecretSpec {
    .certificate(.issued(identity(name, mesh: mesh)))
}

func trust(_ mesh: String) -> SecretSpec { .trust([.mesh(mesh)]) }

/// What was logged, as text with its metadata.
final class CapturedLog: Sendable {
    private let captured = Mutex<[String]>([])

    var lines: [String] { captured.withLock { $0 } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let log: CapturedLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let text = all.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined(separator: " ")
            log.captured.withLock { $0.append("\(event.message) \(text)") }
        }
    }
}

/// A folder that goes away with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = "/tmp/heddle-identity-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: true
        )
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file in one step; gives its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"), options: .atomic)
        return "\(path)/\(name)"
    }

    func read(_ name: String) throws -> String {
        try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
    }
}
