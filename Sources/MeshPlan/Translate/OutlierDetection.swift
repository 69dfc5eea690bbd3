internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// When callers leave a failing endpoint out.
///
/// `maxServerErrors` becomes `consecutive_5xx`, `interval`, `baseEjectionDuration` and
/// `maxEjectionPercent` keep their names. One endpoint may always be ejected, as App Mesh documents.
/// Envoy's other detectors, which no manifest asks for, are off.
func outlierDetection(
    for detection: OutlierDetection
) -> Envoy_Config_Cluster_V3_OutlierDetection {
    var result = Envoy_Config_Cluster_V3_OutlierDetection()
    result.consecutive5Xx = .init(UInt32(clamping: detection.maxServerErrors))
    result.interval = Google_Protobuf_Duration(detection.interval)
    result.baseEjectionTime = Google_Protobuf_Duration(detection.baseEjectionDuration)
    result.maxEjectionPercent = .init(UInt32(clamping: detection.maxEjectionPercent))
    result.alwaysEjectOneHost = .init(true)
    result.enforcingSuccessRate = .init(0)
    // An endpoint that answers its health checks and fails requests stays out for its time.
    result.successfulActiveHealthCheckUnejectHost = .init(false)
    return result
}
