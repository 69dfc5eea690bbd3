internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The retry policy of a route: its own, or App Mesh's default of two retries on
/// connection failures, resets and 503.
///
/// With `maxRetries: 0` there is none. Envoy waits between attempts, at random up to a time that
/// doubles from 25 ms to 250 ms unless `backOff` says otherwise.
func retryPolicy(
    for policy: RetryPolicySpec?,
    _ backOff: RetryBackOff? = nil
) throws -> Envoy_Config_Route_V3_RetryPolicy? {
    var result = Envoy_Config_Route_V3_RetryPolicy()
    if let backOff {
        result.retryBackOff.baseInterval = Google_Protobuf_Duration(backOff.baseInterval)
        result.retryBackOff.maxInterval = Google_Protobuf_Duration(backOff.maxInterval)
    }
    var predicate = Envoy_Config_Route_V3_RetryPolicy.RetryHostPredicate()
    predicate.name = "envoy.retry_host_predicates.previous_hosts"
    predicate.typedConfig = try packed(
        Envoy_Extensions_Retry_Host_PreviousHosts_V3_PreviousHostsPredicate()
    )
    result.retryHostPredicate = [predicate]
    result.hostSelectionRetryMaxAttempts = 5
    guard let policy else {
        result.retryOn =
            "unavailable,connect-failure,refused-stream,reset,retriable-status-codes"
        result.retriableStatusCodes = [503]
        result.numRetries = .init(2)
        return result
    }
    guard policy.maxRetries > 0 else { return nil }
    let (conditions, codes) = retryConditions(of: policy)
    result.retryOn = conditions.joined(separator: ",")
    result.retriableStatusCodes = codes
    result.numRetries = .init(UInt32(clamping: policy.maxRetries))
    if policy.perRetryTimeout > .zero {
        result.perTryTimeout = Google_Protobuf_Duration(policy.perRetryTimeout)
    }
    return result
}

private func retryConditions(of policy: RetryPolicySpec) -> (names: [String], codes: [UInt32]) {
    var names: [String] = []
    var codes: [UInt32] = []
    func add(_ name: String) {
        if !names.contains(name) { names.append(name) }
    }
    func add(codes more: [UInt32]) {
        codes += more.filter { !codes.contains($0) }
    }
    for event in policy.httpEvents {
        switch event {
        case .serverError:
            add("reset")
            add(codes: Array(500...508) + [510, 511])
        case .gatewayError:
            add("reset")
            add(codes: [502, 503, 504])
        case .clientError: add(codes: [409])
        case .streamError: add("refused-stream")
        }
    }
    if policy.connectionError { add("connect-failure") }
    for event in policy.grpcEvents { add(event.rawValue) }
    if !codes.isEmpty { add("retriable-status-codes") }
    return (names, codes)
}
