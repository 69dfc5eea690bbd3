import EnvoyAPI
import GRPCCore
import MeshModel
import MeshTesting
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// The log of denials over a real socket.
@Suite(.timeLimit(.minutes(2))) struct `Access log service` {
    private let blue = proxy("blue")

    private func store() -> SnapshotStore {
        let store = SnapshotStore()
        store.authorize(token: "blue-token", for: blue)
        store.publish([blue: Snapshot()])
        return store
    }

    private func message(_ entries: Envoy_Data_Accesslog_V3_HTTPAccessLogEntry...) -> LogMessage {
        LogMessage.with { $0.httpLogs.logEntry = entries }
    }

    /// Waits until blue has refused `count` times in all.
    private func until(_ count: Int, _ store: SnapshotStore) async throws {
        while store.denials[blue]?.values.reduce(0, +) ?? 0 < count {
            try Task.checkCancellation()
            await Task.yield()
        }
    }

    @Test func `denials are counted by caller, and told when their number gains a digit`()
        async throws
    {
        let store = store()
        let log = LogRecorder()
        try await withService(store, log: log) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                for _ in 0..<12 {
                    client.send(message(entry("spiffe://demo/demo/red", "/a?token=x")))
                }
                client.send(
                    message(
                        entry("spiffe://demo/demo/red", "/b", enforced: nil, shadow: "denied"),
                        entry("spiffe://demo/demo/red", "/b", enforced: "allowed"),
                        entry(nil, "/c\n\u{1b}[31m" + String(repeating: "x", count: 1000))
                    )
                )
                try await until(14, store)
            }
        }
        #expect(
            store.denials[blue] == [
                AccessDenial(caller: "spiffe://demo/demo/red", verdict: .denied): 12,
                AccessDenial(caller: "spiffe://demo/demo/red", verdict: .shadow): 1,
                AccessDenial(caller: "unknown", verdict: .denied): 1,
            ]
        )
        let red = "authority=blue.demo caller=spiffe://demo/demo/red"
        let rest = "port=8080 proxy=demo/blue source=127.0.0.1"
        #expect(
            Array(log.texts.prefix(3)) == [
                "request denied \(red) count=1 method=GET path=/a \(rest) verdict=denied",
                "request denied \(red) count=10 method=GET path=/a \(rest) verdict=denied",
                "request would be denied \(red) count=1 method=GET path=/b \(rest) verdict=shadow",
            ]
        )
        #expect(log.texts.count == 4)
        let last = log.texts.last ?? ""
        #expect(last.contains(#"path=/c\u{a}\u{1b}[31mxxx"#) && last.contains("x... "))
        store.publish([:])
        #expect(store.denials.isEmpty)
    }

    @Test func `connections count when a name or the shadow rules refuse them`() async throws {
        let store = store()
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                let names = "TLS_error: verify cert failed: SAN matcher, certificate SANs are [a]"
                let unknown = "TLS_error: X509_verify_cert: unable to get local issuer; SAN"
                let entries = [names, unknown, ""].map { reason in
                    Envoy_Data_Accesslog_V3_TCPAccessLogEntry.with {
                        $0.commonProperties = common("spiffe://demo/demo/red")
                        $0.commonProperties.downstreamTransportFailureReason = reason
                    }
                }
                client.send(.with { $0.tcpLogs.logEntry = entries })
                client.send(
                    .with {
                        var shadow = Envoy_Data_Accesslog_V3_TCPAccessLogEntry()
                        shadow.commonProperties = common("spiffe://demo/demo/red")
                        shadow.commonProperties.metadata.filterMetadata = [
                            "envoy.filters.network.rbac": ["shadow_engine_result": "denied"]
                        ]
                        $0.tcpLogs.logEntry = [shadow]
                    }
                )
                try await until(2, store)
            }
        }
        #expect(
            store.denials[blue] == [
                AccessDenial(caller: "spiffe://demo/demo/red", verdict: .denied): 1,
                AccessDenial(caller: "spiffe://demo/demo/red", verdict: .shadow): 1,
            ]
        )
    }

    @Test func `callers beyond the first thousand are counted together`() {
        let counts = DenialCounts()
        for number in 0..<1200 {
            let denial = AccessDenial(caller: "caller \(number)", verdict: .denied)
            _ = counts.note(denial, by: blue)
        }
        let all = counts.current[blue] ?? [:]
        #expect(all.count == DenialCounts.callerLimit + 1)
        #expect(all[AccessDenial(caller: "other", verdict: .denied)] == 200)
        let first = AccessDenial(caller: "caller 0", verdict: .denied)
        #expect(counts.note(first, by: blue).count == 2)
    }

    @Test func `each of a proxy's streams is served, until its token is taken back`() async throws {
        let store = store()
        let blue = blue
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { first in
                first.send(message(entry("a", "/")))
                try await until(1, store)
                try await withAccessLog(path, token: "blue-token") { second in
                    second.send(message(entry("a", "/")))
                    try await until(2, store)
                    store.revoke(blue)
                    let error = await #expect(throws: RPCError.self) { try await second.next() }
                    #expect(error?.code == .unauthenticated)
                }
                let error = await #expect(throws: RPCError.self) { try await first.next() }
                #expect(error?.code == .unauthenticated)
            }
            let error = await #expect(throws: RPCError.self) {
                try await withAccessLog(path, token: "blue-token") { _ = try await $0.next() }
            }
            #expect(error?.code == .unauthenticated)
        }
    }

    @Test func `a message longer than an Envoy's ends its stream`() async throws {
        let store = store()
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                let most = String(repeating: "x", count: MessageLimit.bytes - 1000)
                client.send(message(entry("a", most)))
                client.send(message(entry("a", "/")))
                try await until(2, store)
                client.send(message(entry("a", most + most)))
                await #expect(throws: RPCError.self) { try await client.next() }
            }
            #expect(store.denials[blue]?.values.reduce(0, +) == 2)
        }
    }

    @Test func `the oldest of too many streams makes room`() async {
        let channel = AccessLogChannel(blue, AccessLogSinks(audit: { _ in }))
        let first = channel.open()
        let others = (0..<AccessLogChannel.streamLimit).map { _ in channel.open() }
        #expect(others.count == 64)
        var endings = first.signals.ending.makeAsyncIterator()
        guard case .replaced? = await endings.next() else {
            Issue.record("the first stays")
            return
        }
    }

    @Test func `what is no message ends its stream, and nothing else`() async throws {
        let store = store()
        try await withService(store) { path in
            try await withGarbage(path, AccessLogService.stream, token: "blue-token")
            try await withAccessLog(path, token: "blue-token") { client in
                client.send(message(entry("a", "/")))
                try await until(1, store)
            }
        }
    }
}

private func common(_ uri: String?) -> Envoy_Data_Accesslog_V3_AccessLogCommon {
    var common = Envoy_Data_Accesslog_V3_AccessLogCommon()
    if let uri {
        common.tlsProperties.peerCertificateProperties.subjectAltName = [
            .with { $0.dns = "red.demo" }, .with { $0.uri = uri },
        ]
    }
    common.downstreamLocalAddress.socketAddress.portValue = 8080
    common.downstreamDirectRemoteAddress.socketAddress.address = "127.0.0.1"
    return common
}

private func entry(
    _ uri: String?,
    _ path: String,
    enforced: String? = "denied",
    shadow: String? = nil
) -> Envoy_Data_Accesslog_V3_HTTPAccessLogEntry {
    var entry = Envoy_Data_Accesslog_V3_HTTPAccessLogEntry()
    entry.commonProperties = common(uri)
    var results = Google_Protobuf_Struct()
    for (key, value) in [("enforced_engine_result", enforced), ("shadow_engine_result", shadow)] {
        if let value { results.fields[key] = Google_Protobuf_Value(stringValue: value) }
    }
    entry.commonProperties.metadata.filterMetadata = ["envoy.filters.http.rbac": results]
    entry.request.requestMethod = .get
    entry.request.authority = "blue.demo"
    entry.request.path = path
    return entry
}
