import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Tracers and statistics' sinks, as running proxies take them.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TracingTests {
    /// A mesh with `annotations` in which `front` calls `blue`.
    private func run(
        _ annotations: String,
        _ body: (RunningMesh) async throws -> Void
    ) async throws {
        let files = [
            "mesh.yaml": Manifests.mesh(annotations: annotations),
            "nodes.yaml": Manifests.service("blue") + Manifests.running("front", backends: ["blue"])
                + Manifests.served("blue", appPort: "APP1"),
        ]
        try await RunningMesh.run(files, body)
    }

    /// The headers of the next request that `isExpected` holds of.
    private func headers(
        at mesh: RunningMesh,
        until isExpected: ([String]) -> Bool
    ) async throws {
        try await poll {
            let response = try await mesh.request(from: "front", host: "blue.demo:8080")
            try #require(response.status == 200)
            return response.answer["headers"]?.object?.keys.sorted() ?? []
        } until: {
            isExpected($0)
        }
    }

    @Test func `a mesh turns from collector to collector, and no request fails`() async throws {
        try await run("") { mesh in
            try await headers(at: mesh) { !$0.contains("traceparent") }
            let headers = [
                ("x-ray", "127.0.0.1:9", "x-amzn-trace-id"),
                ("otlp", "127.0.0.1:9", "traceparent"),
                // A name that leads nowhere keeps no proxy waiting.
                ("zipkin", "collector.invalid:9411", "x-b3-traceid"),
                ("datadog", "127.0.0.1:9", "x-datadog-trace-id"),
                ("jaeger", "127.0.0.1:9", "x-b3-traceid"),
            ]
            for (provider, endpoint, header) in headers {
                let annotations =
                    "heddle.dev/tracing: \(provider), heddle.dev/tracing-endpoint: '\(endpoint)'"
                try mesh.save("mesh.yaml", Manifests.mesh(annotations: annotations))
                try await self.headers(at: mesh) { $0.contains(header) }
            }
            try mesh.save("mesh.yaml", Manifests.mesh())
            try await self.headers(at: mesh) { !$0.contains("x-b3-traceid") }
            for workload in ["front", "blue"] {
                #expect(try await mesh.sidecar(workload, "refusals") == [])
                #expect(try await mesh.sidecar(workload, "upgrades") == 0)
                #expect(try await mesh.sidecar(workload, "restarts") == 0)
            }
        }
    }

    @Test func `proxies send their statistics with App Mesh's tags as DogStatsD`() async throws {
        let receiver = try DatagramReceiver()
        try await run("heddle.dev/dogstatsd: '127.0.0.1:\(receiver.port)'") { mesh in
            _ = try await mesh.request(from: "front", host: "blue.demo:8080")
            var found: Set<String> = []
            for await datagram in receiver.datagrams {
                for line in datagram.split(separator: "\n")
                where line.contains("appmesh.mesh:demo") {
                    for node in ["front_demo", "blue_demo"]
                    where line.contains("appmesh.virtual_node:\(node)") {
                        found.insert(node)
                    }
                }
                if found.count == 2 { break }
            }
            #expect(found == ["front_demo", "blue_demo"])
        }
    }

    @Test func `DogStatsD for a running mesh is a restart without a lost request`() async throws {
        let receiver = try DatagramReceiver()
        try await run("") { mesh in
            try mesh.save(
                "mesh.yaml",
                Manifests.mesh(annotations: "heddle.dev/dogstatsd: '127.0.0.1:\(receiver.port)'")
            )
            for await datagram in receiver.datagrams
            where datagram.contains("appmesh.virtual_node:front_demo") {
                break
            }
            #expect(try await mesh.sidecar("front", "restarts") == 0)
            let response = try await mesh.request(from: "front", host: "blue.demo:8080")
            #expect(response.name == "blue")
        }
    }
}

/// A socket of UDP on a port of its own.
private final class DatagramReceiver: Sendable {
    let port: UInt16
    /// The text of what arrives; it ends with the receiver.
    let datagrams: AsyncStream<String>
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(isBound)
        self.descriptor = descriptor
        port = UInt16(bigEndian: address.sin_port)
        let (stream, continuation) = AsyncStream.makeStream(
            of: String.self,
            bufferingPolicy: .bufferingNewest(1000)
        )
        datagrams = stream
        Thread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                continuation.yield(String(decoding: buffer.prefix(count), as: UTF8.self))
            }
            continuation.finish()
            close(descriptor)
        }
        .start()
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
