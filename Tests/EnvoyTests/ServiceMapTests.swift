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
            for rate in ["1", "0.05", "0"] {
                if rate != "1" {
                    try mesh.save("mesh.yaml", Self.manifest(rate))
                    _ = try await mesh.line(containing: "in force: ")
                }
                try await expectMap(mesh, rate)
            }
        }
    }

    private static func manifest(_ rate: String) -> String {
        ServiceChain.mesh("heddle.dev/tracing: x-ray, heddle.dev/trace-sampling: \"\(rate)\"")
    }

    /// Sends requests, and compares what was counted with all maps that were made meanwhile.
    private func expectMap(_ mesh: RunningMesh, _ rate: String) async throws {
        let before: ServiceMap = try await mesh.telemetry("/map")
        let record = MapRecord()
        let load = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await record.follow(mesh) }
            defer { group.cancelAll() }
            return try await ServiceChain.load(2000, rate: 150, Self.paths, mesh)
        }
        #expect(load.statuses == ["200": 1600, "500": 400])
        #expect(load.failures == [])
        let map = try await poll {
            let map: ServiceMap = try await mesh.telemetry("/map")
            return map
        } until: {
            Self.hasCounted(2000, from: before, to: $0)
        }
        #expect(
            Set(map.edges.map { [$0.source, $0.target] })
                == Set(Self.edges.map { [$0.source, $0.target] })
        )
        for edge in map.edges where edge.source != "client/outside" {
            #expect(edge.isHTTP && edge.security == .mutualTLS)
        }
        expectRates(record.maps, load, rate)
    }

    /// Compares the rates of the maps whose window is within the load with what was sent in it.
    private func expectRates(
        _ maps: [ServiceMap],
        _ load: ServiceChain.Load,
        _ rate: String
    ) {
        guard let begin = load.times.min(), let end = load.times.max() else { return }
        let within = maps.filter {
            // A proxy's numbers are up to one interval older than the map.
            $0.timeSeconds - $0.windowSeconds - 3 > begin && $0.timeSeconds < end
        }
        #expect(!within.isEmpty, "of \(maps.count) maps at a sampling rate of \(rate)")
        for (source, target, share, failures) in Self.edges {
            var seen = (requests: 0.0, failures: 0.0)
            var sent = 0.0
            for map in within {
                let traffic = Self.edge(source, target, in: map)?.traffic ?? Traffic()
                seen.requests += traffic.requestsPerSecond
                seen.failures += traffic.failuresPerSecond
                let from = map.timeSeconds - map.windowSeconds
                sent += Double(load.count(from: from, to: map.timeSeconds)) / map.windowSeconds
            }
            #expect(Self.about(share * sent) ~= seen.requests, "\(source) to \(target)")
            let errorRate = seen.failures / max(1, seen.requests)
            #expect(abs(errorRate - failures / share) < 0.02, "\(source) to \(target)")
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
