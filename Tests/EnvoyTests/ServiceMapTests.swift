import Foundation
import HTTPClient
import MeshModel
import MeshTelemetry
import MeshTesting
import Synchronization
import Testing

/// Who calls whom, and how that goes, against what the sender of the requests counted.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(2)))
struct ServiceMapTests {
    /// Of ten requests one is answered by `two` with 500, and one by `four`.
    private static let paths =
        ["/fail/two", "/fail/four"] + Array(repeating: "/", count: 8)

    /// Who is asked by whom, by what part of the requests, and what part of all fails there.
    private static let edges: [(source: String, target: String, share: Double, failures: Double)] =
        [
            ("client/outside", "virtualgateway/demo/gateway", 1, 0.2),
            ("virtualgateway/demo/gateway", "virtualnode/demo/one", 1, 0.2),
            // There is a route, and nobody takes it.
            ("virtualgateway/demo/gateway", "virtualnode/demo/four", 0, 0),
            ("virtualnode/demo/one", "virtualnode/demo/two", 1, 0.2),
            ("virtualnode/demo/two", "virtualnode/demo/three", 0.9, 0.1),
            ("virtualnode/demo/three", "virtualnode/demo/four", 0.9, 0.1),
        ]

    /// `value` with 2 % more or less.
    private static func about(_ value: Double) -> ClosedRange<Double> {
        0.98 * value...1.02 * value
    }

    private static func edge(
        _ source: String,
        _ target: String,
        in map: ServiceMap
    )
        -> ServiceMap.Edge?
    {
        map.edges.first { $0.source == source && $0.target == target }
    }

    /// Whether the requests of each edge are those between two maps that should be.
    private static func hasCounted(
        _ count: Int,
        from before: ServiceMap,
        to map: ServiceMap
    ) -> Bool {
        edges.allSatisfy { source, target, share, failures in
            let old = edge(source, target, in: before)?.traffic ?? Traffic()
            guard let new = edge(source, target, in: map)?.traffic else { return false }
            return about(share * Double(count)) ~= Double(new.requests - old.requests)
                && about(failures * Double(count)) ~= Double(new.failures - old.failures)
        }
    }

    @Test func `the map has the edges that exist and counts every request, whatever is traced`()
        async throws
    {
        let files = ServiceChain.files.merging(["mesh.yaml": Self.manifest("1")]) { $1 }
        try await RunningMesh.run(files, options: ServiceChain.options) { mesh in
            try await expectCounts(mesh)
            for rate in ["0.05", "0"] {
                try mesh.save("mesh.yaml", Self.manifest(rate))
                _ = try await mesh.line(containing: "in force: ")
                try await expectCounts(mesh)
            }
            try await expectRates(mesh)
        }
    }

    private static func manifest(_ rate: String) -> String {
        ServiceChain.mesh("heddle.dev/tracing: x-ray, heddle.dev/trace-sampling: \"\(rate)\"")
    }

    /// Sends requests, and waits for a map that counts them.
    private func expectCounts(_ mesh: RunningMesh) async throws {
        let before: ServiceMap = try await mesh.telemetry("/map")
        let load = try await ServiceChain.load(1000, Self.paths, mesh)
        #expect(load.statuses == ["200": 800, "500": 200])
        #expect(load.failures == [])
        let map = try await poll {
            try await mesh.telemetry("/map") as ServiceMap
        } until: {
            Self.hasCounted(1000, from: before, to: $0)
        }
        #expect(
            Set(map.edges.map { [$0.source, $0.target] })
                == Set(Self.edges.map { [$0.source, $0.target] })
        )
        for edge in map.edges where edge.source != "client/outside" {
            #expect(edge.isHTTP && edge.security == .mutualTLS)
        }
    }

    /// Sends requests at a rate, and compares it with that of the maps whose window is within.
    private func expectRates(_ mesh: RunningMesh) async throws {
        let record = MapRecord()
        let load = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await record.follow(mesh) }
            defer { group.cancelAll() }
            return try await ServiceChain.load(2000, rate: 100, Self.paths, mesh)
        }
        let begin = try #require(load.times.min())
        let end = try #require(load.times.max())
        let maps = record.maps.filter {
            // What a proxy said is up to one interval older than the map.
            $0.timeSeconds - $0.windowSeconds - 3 > begin && $0.timeSeconds < end
        }
        #expect(!maps.isEmpty, "of \(record.maps.count)")
        for (source, target, share, failures) in Self.edges {
            var (requests, failed, sent) = (0.0, 0.0, 0.0)
            for map in maps {
                let traffic = Self.edge(source, target, in: map)?.traffic ?? Traffic()
                requests += traffic.requestsPerSecond
                failed += traffic.failuresPerSecond
                let from = map.timeSeconds - map.windowSeconds
                sent += Double(load.count(from: from, to: map.timeSeconds)) / map.windowSeconds
            }
            #expect(Self.about(share * sent) ~= requests, "\(source) to \(target)")
            #expect(Self.about(failures * sent) ~= failed, "\(source) to \(target)")
        }
    }
}

/// The maps of a mesh, as they were made.
private final class MapRecord: Sendable {
    private let received = Mutex<[ServiceMap]>([])

    /// Those so far.
    var maps: [ServiceMap] { received.withLock { $0 } }

    /// Takes each map as it is made, until cancelled.
    func follow(_ mesh: RunningMesh) async throws {
        let socket = mesh.state.appendingPathComponent("api.sock").path
        let stream = try await mesh.client.stream(
            HTTPRequest("GET", "http://localhost/map?watch", unixSocketPath: socket)
        )
        var rest: [UInt8] = []
        for try await bytes in stream.body {
            rest += bytes
            var lines = rest.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            rest = Array(lines.removeLast())
            for line in lines where line.starts(with: "data: ".utf8) {
                let map = try JSONDecoder().decode(ServiceMap.self, from: Data(line.dropFirst(6)))
                received.withLock { $0.append(map) }
            }
        }
    }
}
