import Foundation
import Glibc
import HTTPClient
import MeshModel
import MeshTelemetry
import MeshTesting
import NIOCore
import Testing

/// What a real Envoy sends.
@Suite(.enabled(if: envoyIsExpected), .timeLimit(.minutes(1))) struct ReceivingEnvoyTests {
    private let board = ReceivedBoard()
    private let warnings = TelemetryWarnings()
    private static let xRay = """
        name: envoy.tracers.xray
        typed_config:
          "@type": type.googleapis.com/envoy.config.trace.v3.XRayConfig
          daemon_endpoint: {protocol: UDP, address: 127.0.0.1, port_value: PORT}
          segment_name: SERVICE
          segment_fields: {origin: "AWS::AppMesh::Proxy"}
          sampling_rule_manifest:
            inline_string: '{"version":2,"default":{"fixed_target":1,"rate":1},"rules":[]}'
        """
    private static let openTelemetry = """
        name: envoy.tracers.opentelemetry
        typed_config:
          "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
          grpc_service: {envoy_grpc: {cluster_name: collector}, timeout: 1s}
          service_name: SERVICE
        """

    /// Asks through two proxies, `demo/front` and `demo/blue`, until `count` spans came.
    private func trace(_ tracer: String, _ receiver: TelemetryEndpoint) async throws {
        let folder = try StoreFolder()
        let (egress, ingress) = (try freeEndpoint(), try freeEndpoint())
        let bootstrap = """
            {admin: {address: {pipe: {path: \(folder.path)/admin.sock}}}, static_resources: {
            listeners: [
            \(listener("OUTBOUND", egress, "demo/front", route: "{cluster: blue}", tracer, receiver)),
            \(listener("INBOUND", ingress, "demo/blue", route: nil, tracer, receiver))],
            clusters: [\(cluster("blue", ingress)), \(cluster("collector", receiver))]}}
            """
        let file = "\(folder.path)/envoy.yaml"
        try bootstrap.write(toFile: file, atomically: true, encoding: .utf8)
        let envoy = Process()
        envoy.executableURL = URL(fileURLWithPath: try requireEnvoy())
        envoy.arguments = ["-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "off"]
        envoy.standardOutput = FileHandle.nullDevice
        envoy.standardError = FileHandle.nullDevice
        try envoy.run()
        defer { envoy.terminate() }
        let client = HTTPClient()
        defer { client.shutDown() }
        let url = "http://\(egress)/path?token=1"
        // Envoy's OpenTelemetry tracer sends five spans at once, or after five seconds.
        try await poll({ try? await client.response(to: HTTPRequest("GET", url)).status }) {
            $0 == 503 && board.spans.count >= 6
        }
    }

    private func listener(
        _ direction: String,
        _ address: TelemetryEndpoint,
        _ service: String,
        route: String?,
        _ tracer: String,
        _ receiver: TelemetryEndpoint
    ) -> String {
        let provider = tracer.replacing("PORT", with: "\(receiver.port)")
            .replacing("SERVICE", with: service)
        let action = route.map { "route: \($0)" } ?? "direct_response: {status: 503}"
        let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        return """
            {traffic_direction: \(direction), address: {socket_address: {
              address: 127.0.0.1, port_value: \(address.port)}},
             filter_chains: [{filters: [{name: hcm, typed_config: {
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
              stat_prefix: x, tracing: {provider: \(flow(provider))},
              route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [
               {match: {prefix: /}, \(action)}]}]},
              http_filters: [{name: router, typed_config: {"@type": \(router)}}]}}]}]}
            """
    }

    /// Block style as flow style.
    private func flow(_ text: String) -> String {
        let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        var flow = "{"
        var open = 0
        for line in lines {
            let isOpening = line == "typed_config:" || line == "sampling_rule_manifest:"
            flow += isOpening ? line + " {" : line + ", "
            if isOpening { open += 1 }
        }
        return flow + String(repeating: "}", count: open + 1)
    }

    private func cluster(_ name: String, _ address: TelemetryEndpoint) -> String {
        let http2 =
            name == "collector"
            ? """
            , typed_extension_protocol_options: {
            envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
            explicit_http_config: {http2_protocol_options: {}}}}
            """ : ""
        return """
            {name: \(name), load_assignment: {cluster_name: \(name), endpoints: [{lb_endpoints: [
            {endpoint: {address: {socket_address: {
            address: 127.0.0.1, port_value: \(address.port)}}}}]}]}\(http2)}
            """
    }

    /// Expects one request's spans: the caller's, and in it the callee's.
    private func check() throws {
        let front = try #require(
            board.spans.first { span in
                span.kind == .client && board.spans.contains { $0.parentID == span.spanID }
            }
        )
        let blue = try #require(board.spans.first { $0.parentID == front.spanID })
        #expect(front.service == "demo/front")
        #expect(front.parentID == nil)
        #expect(blue.service == "demo/blue")
        #expect(blue.kind == .server)
        #expect(blue.traceID == front.traceID)
        for span in [front, blue] {
            #expect(span.name == "GET /path")
            #expect(span.status == 503)
            #expect(span.isError)
            #expect(try #require(span.durationMicroseconds) >= 0)
            #expect(span.attributes["component"] == "proxy")
            #expect(span.attributes["http.method"] == "GET")
        }
        #expect(front.attributes["upstream_cluster"] == "blue")
    }

    @Test func `segments of its X-Ray tracer are understood`() async throws {
        let address = try freeEndpoint(SOCK_DGRAM)
        let receiver = XRayReceiver(address: address, logger: warnings.logger, take: board.take)
        try await running([receiver]) {
            try await trace(ReceivingEnvoyTests.xRay, address)
        }
        try check()
        #expect(board.spans.allSatisfy { $0.attributes["origin"] == "AWS::AppMesh::Proxy" })
        #expect(receiver.counts.malformed == 0)
    }

    @Test func `spans of its OpenTelemetry tracer are understood`() async throws {
        let address = try freeEndpoint()
        let receiver = OpenTelemetryReceiver(
            address: address,
            logger: warnings.logger,
            onListen: { $0.eventLoop.makeSucceededVoidFuture() },
            take: board.take
        )
        try await running([receiver]) {
            try await trace(ReceivingEnvoyTests.openTelemetry, address)
        }
        try check()
        #expect(receiver.counts.malformed == 0)
    }
}
