internal import EnvoyAPI
internal import SwiftProtobuf

/// An entry of a proxy's log of denials.
///
/// Guarantee: its texts are of limited length, whatever the proxy sent.
struct DenialEntry: Equatable {
    var denial: AccessDenial
    /// What the log tells beside the caller, by its names there.
    var details: [String: String]
    /// When it began, in seconds since 1970.
    var timeSeconds: Double

    /// The longest SPIFFE ID has so many bytes.
    static let callerLimit = 2048

    /// The entry of an HTTP request; nil when it was not denied.
    init?(_ entry: Envoy_Data_Accesslog_V3_HTTPAccessLogEntry) {
        let common = entry.commonProperties
        let results = common.metadata.filterMetadata["envoy.filters.http.rbac"]?.fields ?? [:]
        guard let verdict = DenialEntry.verdict(results) else { return nil }
        denial = AccessDenial(caller: common.caller, verdict: verdict)
        let path = entry.request.path.prefix { $0 != "?" && $0 != "#" }
        timeSeconds = common.timeSeconds
        details = common.addresses
        details["method"] = entry.request.requestMethod.name
        details["authority"] = RequestEntry.bounded(entry.request.authority) ?? ""
        details["path"] = RequestEntry.bounded(String(path)) ?? ""
    }

    /// The entry of a connection; nil when it was not denied.
    init?(_ entry: Envoy_Data_Accesslog_V3_TCPAccessLogEntry) {
        let common = entry.commonProperties
        let results = common.metadata.filterMetadata["envoy.filters.network.rbac"]?.fields ?? [:]
        // Whom nobody trusts could call itself anything.
        let reason = common.downstreamTransportFailureReason
        let isRefusedByName = reason.contains("SAN") && !reason.contains("X509_verify_cert")
        guard let verdict = isRefusedByName ? .denied : DenialEntry.verdict(results) else {
            return nil
        }
        denial = AccessDenial(caller: common.caller, verdict: verdict)
        timeSeconds = common.timeSeconds
        details = common.addresses
    }

    private static func verdict(
        _ results: [String: SwiftProtobuf.Google_Protobuf_Value]
    ) -> AccessDenial.Verdict? {
        if results["enforced_engine_result"]?.stringValue == "denied" { return .denied }
        return results["shadow_engine_result"]?.stringValue == "denied" ? .shadow : nil
    }
}

extension Envoy_Data_Accesslog_V3_AccessLogCommon {
    /// The caller by its certificate: its SPIFFE ID, else the subject; nil without one.
    var knownCaller: String? {
        let certificate = tlsProperties.peerCertificateProperties
        let uris = certificate.subjectAltName.lazy.compactMap { name in
            if case .uri(let uri) = name.san { uri } else { nil }
        }
        let caller = uris.first ?? certificate.subject
        guard !caller.isEmpty else { return nil }
        return String(decoding: caller.utf8.prefix(DenialEntry.callerLimit), as: UTF8.self)
    }

    fileprivate var caller: String { knownCaller ?? "unknown" }

    fileprivate var timeSeconds: Double {
        Double(startTime.seconds) + Double(startTime.nanos) / 1e9
    }

    fileprivate var addresses: [String: String] {
        let port = downstreamLocalAddress.socketAddress.portValue
        let source = downstreamDirectRemoteAddress.socketAddress.address
        var result: [String: String] = [:]
        if port > 0 { result["port"] = String(port) }
        if !source.isEmpty { result["source"] = source }
        return result
    }
}

extension Envoy_Config_Core_V3_RequestMethod {
    /// `GET` and the like; `another` of one that Envoy does not know.
    var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        case .methodUnspecified, .UNRECOGNIZED: "another"
        }
    }
}
