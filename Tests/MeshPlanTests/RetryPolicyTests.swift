import EnvoyAPI
import MeshModel
import SwiftProtobuf
import Testing

@testable import MeshPlan

@Suite struct RetryPolicyTests {
    @Test func `without a policy connection failures, resets and 503 are retried twice`() throws {
        let policy = try #require(try retryPolicy(for: nil))
        #expect(
            policy.retryOn
                == "unavailable,connect-failure,refused-stream,reset,retriable-status-codes"
        )
        #expect(policy.retriableStatusCodes == [503])
        #expect(policy.numRetries.value == 2)
        #expect(!policy.hasPerTryTimeout)
        #expect(
            policy.retryHostPredicate.map(\.name) == ["envoy.retry_host_predicates.previous_hosts"]
        )
        #expect(policy.hostSelectionRetryMaxAttempts == 5)
    }

    @Test(
        arguments: [
            ([.serverError], "reset,retriable-status-codes", Array(500...508) + [510, 511]),
            ([.gatewayError], "reset,retriable-status-codes", [502, 503, 504]),
            ([.clientError], "retriable-status-codes", [409]),
            ([.streamError], "refused-stream", []),
            ([], "", []),
            (
                [.gatewayError, .clientError, .streamError],
                "reset,refused-stream,retriable-status-codes", [502, 503, 504, 409]
            ),
            (
                [.gatewayError, .serverError], "reset,retriable-status-codes",
                [502, 503, 504, 500, 501, 505, 506, 507, 508, 510, 511]
            ),
        ] as [([RetryPolicySpec.HTTPEvent], String, [UInt32])]
    )
    func `HTTP events become conditions and codes, each once`(
        _ events: [RetryPolicySpec.HTTPEvent],
        _ conditions: String,
        _ codes: [UInt32]
    ) throws {
        let spec = RetryPolicySpec(
            maxRetries: 1,
            perRetryTimeout: .milliseconds(1250),
            httpEvents: events
        )
        let policy = try #require(try retryPolicy(for: spec))
        #expect(policy.retryOn == conditions)
        #expect(policy.retriableStatusCodes == codes)
        #expect(policy.perTryTimeout.seconds == 1)
        #expect(policy.perTryTimeout.nanos == 250_000_000)
    }

    @Test(arguments: RetryPolicySpec.GRPCEvent.allCases)
    func `gRPC events are Envoy's own`(_ event: RetryPolicySpec.GRPCEvent) throws {
        let spec = RetryPolicySpec(
            maxRetries: 1,
            perRetryTimeout: .seconds(1),
            connectionError: true,
            grpcEvents: [event]
        )
        let policy = try #require(try retryPolicy(for: spec))
        #expect(policy.retryOn == "connect-failure,\(event.rawValue)")
    }

    @Test func `without retries there is no policy, and zero is no time limit`() throws {
        var spec = RetryPolicySpec(
            maxRetries: 0,
            perRetryTimeout: .zero,
            httpEvents: [.serverError]
        )
        #expect(try retryPolicy(for: spec) == nil)
        spec.maxRetries = 4
        let policy = try #require(try retryPolicy(for: spec))
        #expect(policy.numRetries.value == 4)
        #expect(!policy.hasPerTryTimeout)
    }
}

@Suite struct TimeoutTests {
    @Test(
        arguments: [
            (nil, nil, 15, nil), (.zero, nil, 0, nil), (.seconds(60), .zero, 60, 0),
            (nil, .seconds(300), 15, 300),
        ] as [(Duration?, Duration?, Int64, Int64?)]
    )
    func `requests have 15 seconds unless a timeout is given, and zero is none`(
        _ perRequest: Duration?,
        _ idle: Duration?,
        _ timeoutSeconds: Int64,
        _ idleSeconds: Int64?
    ) throws {
        let port = try #require(Port(8080))
        let listener = ListenerSpec(
            portMapping: PortMapping(port: port, protocol: .http),
            timeout: Timeouts(perRequest: perRequest, idle: idle)
        )
        let routes = try routeConfiguration(
            for: IngressRoutes(listener: listener, cluster: "local")
        )
        let action = try #require(routes.virtualHosts.first?.routes.first?.route)
        #expect(action.timeout.seconds == timeoutSeconds)
        #expect((action.hasIdleTimeout ? action.idleTimeout.seconds : nil) == idleSeconds)
    }
}
