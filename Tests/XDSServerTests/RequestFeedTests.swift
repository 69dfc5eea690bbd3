import EnvoyAPI
import MeshModel
import MeshPlan
import SwiftProtobuf
import Synchronization
import Testing

@testable import XDSServer

/// What tapped proxies tell, over a real socket.
@Suite(.timeLimit(.minutes(2))) struct `Request feed` {
    private let blue = proxy("blue")

    private func store(
        audit: @escaping @Sendable (DeniedCall) -> Void = { _ in }
    ) -> SnapshotStore {
        let store = SnapshotStore(audit: audit)
        store.authorize(token: "blue-token", for: blue)
        store.publish([blue: Snapshot()])
        return store
    }

    /// The next requests that `listener` hears, `count` of them.
    private func requests(
        _ count: Int,
        _ listener: RequestFeed.Listener
    ) async throws -> [RequestRecord] {
        var all: [RequestRecord] = []
        for await _ in listener.signals {
            all += listener.take()
            if all.count >= count { return all }
        }
        return all
    }

    private func message(
        log name: String?,
        _ entries: Envoy_Data_Accesslog_V3_HTTPAccessLogEntry...
    ) -> LogMessage {
        LogMessage.with {
            if let name { $0.identifier.logName = name }
            $0.httpLogs.logEntry = entries
        }
    }

    @Test func `an entry of a tap is a request, and no denial`() async throws {
        let store = store()
        let listener = store.requests.listener(keeping: 10)
        store.requests.listen(to: [blue], listener)
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                // The log is named by the first message of a stream alone.
                client.send(message(log: "tap.inbound", request("/a?secret=1")))
                client.send(message(log: nil, request("/b#part")))
                let records = try await requests(2, listener)
                let first = try #require(records.first)
                #expect(
                    first
                        == RequestRecord(
                            timeSeconds: 1_795_400_000.25,
                            proxy: "demo/blue",
                            direction: .inbound,
                            source: "spiffe://demo/demo/front",
                            destination: "127.0.0.1:9081",
                            cluster: "cds_ingress",
                            isTLS: true,
                            method: "POST",
                            authority: "blue.demo",
                            path: "/a",
                            status: 503,
                            flags: "UF,URX",
                            details: "upstream_reset",
                            durationMilliseconds: 12.5,
                            receivedBytes: 3,
                            sentBytes: 9,
                            attempts: 2,
                            requestID: "request"
                        )
                )
                #expect(records.map(\.path) == ["/a", "/b"])
            }
        }
        #expect(store.denials.isEmpty)
        #expect(listener.counts.received == [blue: 2])
    }

    @Test func `a connection without HTTP has its bytes`() async throws {
        let store = store()
        let listener = store.requests.listener(keeping: 10)
        store.requests.listen(to: [blue], listener)
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                client.send(
                    .with {
                        var entry = Envoy_Data_Accesslog_V3_TCPAccessLogEntry()
                        entry.commonProperties.downstreamDirectRemoteAddress.socketAddress =
                            .with {
                                $0.address = "::1"
                                $0.portValue = 4000
                            }
                        entry.commonProperties.upstreamCluster = "database"
                        entry.connectionProperties.receivedBytes = .max
                        entry.connectionProperties.sentBytes = 7
                        $0.identifier.logName = "tap.outbound"
                        $0.tcpLogs.logEntry = [entry]
                    }
                )
                let record = try #require(try await requests(1, listener).first)
                #expect(record.direction == .outbound && record.method == nil)
                #expect(record.source == "[::1]:4000" && record.destination == "database")
                #expect(record.receivedBytes == .max && record.sentBytes == 7)
                #expect(record.status == nil && record.requestID == nil && !record.isTLS)
            }
        }
    }

    @Test func `a slow reader loses the oldest, and knows how many`() {
        let feed = RequestFeed()
        let listener = feed.listener(keeping: 10) { $0.status != 404 }
        feed.listen(to: [blue], listener)
        for number in 0..<95 {
            feed.publish(of: blue) { [record(number), record(number, status: 404)] }
        }
        let kept = listener.take()
        #expect((10...20).contains(kept.count))
        #expect(listener.counts.lost == 95 - kept.count)
        #expect(listener.counts.received == [blue: 190])
        #expect(kept.last?.attempts == 94 && kept.first?.attempts == 95 - kept.count)
        #expect(listener.take().isEmpty)
    }

    @Test func `nothing is read for who does not listen`() {
        let feed = RequestFeed()
        var isRead = false
        func publish(_ proxy: ProxyID) {
            feed.publish(of: proxy) {
                isRead = true
                return [record(1)]
            }
        }
        publish(blue)
        let listener = feed.listener(keeping: 10)
        publish(blue)
        feed.listen(to: [blue], listener)
        publish(proxy("red"))
        #expect(!isRead)
        publish(blue)
        #expect(isRead && listener.take().count == 1)
        feed.end(listener)
        isRead = false
        publish(blue)
        #expect(!isRead)
    }

    @Test func `each denial is told with what was asked`() async throws {
        let calls = Mutex<[DeniedCall]>([])
        let store = store { call in calls.withLock { $0.append(call) } }
        try await withService(store) { path in
            try await withAccessLog(path, token: "blue-token") { client in
                var denied = request("/secret?token=x" + String(repeating: "y", count: 5000))
                denied.commonProperties.metadata.filterMetadata = [
                    "envoy.filters.http.rbac": ["enforced_engine_result": "denied"]
                ]
                client.send(message(log: "denials", denied, denied, request("/allowed")))
                while calls.withLock({ $0.count }) < 2 {
                    try Task.checkCancellation()
                    await Task.yield()
                }
            }
        }
        let expected = DeniedCall(
            AccessDenial(caller: "spiffe://demo/demo/front", verdict: .denied),
            by: blue,
            timeSeconds: 1_795_400_000.25,
            method: "POST",
            authority: "blue.demo",
            path: "/secret"
        )
        #expect(calls.withLock { $0 } == [expected, expected])
    }

    private func record(_ number: Int, status: Int = 200) -> RequestRecord {
        RequestRecord(
            timeSeconds: 0,
            proxy: "demo/blue",
            direction: .inbound,
            source: "",
            destination: "",
            cluster: "",
            status: status,
            attempts: number
        )
    }
}

private func request(_ path: String) -> Envoy_Data_Accesslog_V3_HTTPAccessLogEntry {
    func address(_ host: String, _ port: UInt32) -> Envoy_Config_Core_V3_Address {
        .with {
            $0.socketAddress.address = host
            $0.socketAddress.portValue = port
        }
    }
    return .with { entry in
        entry.commonProperties = .with {
            $0.startTime.seconds = 1_795_400_000
            $0.startTime.nanos = 250_000_000
            $0.duration.nanos = 12_500_000
            $0.downstreamDirectRemoteAddress = address("127.66.0.1", 40000)
            $0.upstreamRemoteAddress = address("127.0.0.1", 9081)
            $0.upstreamCluster = "cds_ingress"
            $0.upstreamRequestAttemptCount = 2
            $0.streamID = "stream"
            $0.tlsProperties.tlsVersion = .tlsv13
            $0.tlsProperties.peerCertificateProperties.subjectAltName = [
                .with { $0.uri = "spiffe://demo/demo/front" }
            ]
            $0.responseFlags.upstreamConnectionFailure = true
            $0.responseFlags.upstreamRetryLimitExceeded = true
        }
        entry.request.requestMethod = .post
        entry.request.authority = "blue.demo"
        entry.request.path = path
        entry.request.requestID = "request"
        entry.request.requestBodyBytes = 3
        entry.response.responseCode = .init(503)
        entry.response.responseCodeDetails = "upstream_reset"
        entry.response.responseBodyBytes = 9
    }
}
