internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// Entries of the access log of a tapped proxy.
///
/// Guarantee: their texts are of limited length, whatever the proxy sent.
enum RequestEntry {
    /// The longest text of a field, in bytes.
    static let textLimit = 2048

    /// The log `tap.inbound` or `tap.outbound`; nil of another log's name.
    static func direction(logName: String) -> RequestRecord.Direction? {
        let prefix = "tap."
        guard logName.hasPrefix(prefix) else { return nil }
        return RequestRecord.Direction(rawValue: String(logName.dropFirst(prefix.count)))
    }

    /// The record of an HTTP request.
    static func record(
        _ entry: Envoy_Data_Accesslog_V3_HTTPAccessLogEntry,
        of proxy: ProxyID,
        _ direction: RequestRecord.Direction
    ) -> RequestRecord {
        var record = record(entry.commonProperties, of: proxy, direction)
        let (request, response) = (entry.request, entry.response)
        record.method = request.requestMethod.name
        record.authority = bounded(request.authority)
        record.path = bounded(String(request.path.prefix { $0 != "?" && $0 != "#" }))
        let status = Int(response.responseCode.value)
        record.status = status == 0 ? nil : status
        record.details = bounded(response.responseCodeDetails)
        record.receivedBytes = Int(clamping: request.requestBodyBytes)
        record.sentBytes = Int(clamping: response.responseBodyBytes)
        record.requestID = bounded(request.requestID) ?? record.requestID
        return record
    }

    /// The record of a connection without HTTP.
    static func record(
        _ entry: Envoy_Data_Accesslog_V3_TCPAccessLogEntry,
        of proxy: ProxyID,
        _ direction: RequestRecord.Direction
    ) -> RequestRecord {
        var record = record(entry.commonProperties, of: proxy, direction)
        record.receivedBytes = Int(clamping: entry.connectionProperties.receivedBytes)
        record.sentBytes = Int(clamping: entry.connectionProperties.sentBytes)
        record.details = bounded(entry.commonProperties.upstreamTransportFailureReason)
        return record
    }

    private static func record(
        _ common: Envoy_Data_Accesslog_V3_AccessLogCommon,
        of proxy: ProxyID,
        _ direction: RequestRecord.Direction
    ) -> RequestRecord {
        let cluster = bounded(common.upstreamCluster) ?? ""
        let duration =
            common.hasDuration ? common.duration : common.timeToLastDownstreamTxByte
        return RequestRecord(
            timeSeconds: Double(common.startTime.seconds) + Double(common.startTime.nanos) / 1e9,
            proxy: "\(proxy)",
            direction: direction,
            source: common.knownCaller ?? common.downstreamAddress ?? "unknown",
            destination: common.upstreamRemoteAddress.text.flatMap(bounded) ?? cluster,
            cluster: cluster,
            isTLS: common.tlsProperties.tlsVersion != .versionUnspecified,
            flags: common.responseFlags.text,
            durationMilliseconds: Double(duration.seconds) * 1e3 + Double(duration.nanos) / 1e6,
            attempts: Int(common.upstreamRequestAttemptCount),
            requestID: bounded(common.streamID)
        )
    }

    /// `text`, cut when it is too long; nil of an empty one.
    static func bounded(_ text: String) -> String? {
        guard !text.isEmpty else { return nil }
        guard text.utf8.count > textLimit else { return text }
        return String(decoding: text.utf8.prefix(textLimit), as: UTF8.self)
    }
}

extension Envoy_Data_Accesslog_V3_AccessLogCommon {
    fileprivate var downstreamAddress: String? {
        (downstreamDirectRemoteAddress.text ?? downstreamRemoteAddress.text).map { text in
            String(decoding: text.utf8.prefix(RequestEntry.textLimit), as: UTF8.self)
        }
    }
}

extension Envoy_Config_Core_V3_Address {
    /// `host:port`, or the path of a Unix socket; nil of none.
    fileprivate var text: String? {
        switch address {
        case .socketAddress(let socket)? where !socket.address.isEmpty:
            socket.address.contains(":")
                ? "[\(socket.address)]:\(socket.portValue)"
                : "\(socket.address):\(socket.portValue)"
        case .pipe(let pipe)? where !pipe.path.isEmpty: pipe.path
        case .socketAddress, .pipe, .envoyInternalAddress, nil: nil
        }
    }
}

extension Envoy_Data_Accesslog_V3_ResponseFlags {
    /// As Envoy's access logs in files name them, with commas between.
    fileprivate var text: String {
        let flags: [(Bool, String)] = [
            (failedLocalHealthcheck, "LH"), (noHealthyUpstream, "UH"),
            (upstreamRequestTimeout, "UT"), (localReset, "LR"), (upstreamRemoteReset, "UR"),
            (upstreamConnectionFailure, "UF"), (upstreamConnectionTermination, "UC"),
            (upstreamOverflow, "UO"), (noRouteFound, "NR"), (delayInjected, "DI"),
            (faultInjected, "FI"), (rateLimited, "RL"), (hasUnauthorizedDetails, "UAEX"),
            (rateLimitServiceError, "RLSE"), (downstreamConnectionTermination, "DC"),
            (upstreamRetryLimitExceeded, "URX"), (streamIdleTimeout, "SI"),
            (invalidEnvoyRequestHeaders, "IH"), (downstreamProtocolError, "DPE"),
            (upstreamMaxStreamDurationReached, "UMSDR"), (responseFromCacheFilter, "RFCF"),
            (noFilterConfigFound, "NFCF"), (durationTimeout, "DT"), (upstreamProtocolError, "UPE"),
            (noClusterFound, "NC"), (overloadManager, "OM"), (dnsResolutionFailure, "DF"),
            (downstreamRemoteReset, "DR"),
        ]
        return flags.lazy.filter(\.0).map(\.1).joined(separator: ",")
    }
}
