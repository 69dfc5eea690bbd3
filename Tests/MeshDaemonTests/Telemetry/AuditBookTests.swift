import MeshModel
import MeshTelemetry
import Testing
import XDSServer

@testable import MeshDaemon

private let front = "spiffe://colors/demo/front"
private let gateway = "spiffe://colors/demo/gateway/in"

/// The node `front` and the gateway `in`, which call the node `blue`.
private struct CallingMesh {
    private static let cluster = "cds_egress_colors_blue_demo_http_8080"
    private let board = TrafficBoard(timeSeconds: 0)
    private var requests: [String: Int] = [:]
    let topology: MeshTopology

    init() {
        var topology = MeshTopology()
        let owners: [(Kind, String)] = [
            (.virtualNode, "front"), (.virtualGateway, "in"), (.virtualNode, "blue"),
        ]
        for (kind, name) in owners {
            var place = ProxyTopology(
                mesh: ObjectID(.mesh, ObjectReference(name: "colors")),
                meshName: "shop",
                owner: ObjectID(kind, ObjectReference(namespace: "demo", name: name)),
                ownerName: "\(name)_demo",
                trustDomain: "colors"
            )
            if name != "blue" {
                place.targets[Self.cluster] = TrafficTarget(
                    destination: .virtualNode(nodeID("blue"), name: "blue_demo"),
                    services: ["blue.demo"],
                    port: Port(8080)
                )
            }
            topology.proxies[proxyID("\(name)-1")] = place
        }
        self.topology = topology
        board.update(topology)
    }

    var names: AuditNames { AuditNames(topology) }

    /// What `book` says was allowed after `name` got so many more answers from blue.
    mutating func allowed(_ book: inout AuditBook, _ more: Int, of name: String) -> [AuditRecord] {
        requests[name, default: 0] += more
        let count = requests[name] ?? 0
        board.take(
            proxyID("\(name)-1"),
            ProxyGeneration(pid: 1, startTicks: 1),
            """
            cluster.\(Self.cluster).upstream_rq_completed: \(count)
            cluster.\(Self.cluster).upstream_rq_2xx: \(count)

            """,
            askedAt: .now
        )
        return book.allowed(board, timeSeconds: 7)
    }
}

private func call(
    _ caller: String,
    _ verdict: AccessDenial.Verdict = .denied,
    by proxy: String = "blue-1"
) -> DeniedCall {
    DeniedCall(
        AccessDenial(caller: caller, verdict: verdict),
        by: proxyID(proxy),
        timeSeconds: 5,
        method: "GET",
        authority: "blue.demo",
        path: "/a"
    )
}

@Suite struct `Audit book` {
    private struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var calls: [DeniedCall]
        /// How many of ten requests were allowed.
        var allowed: Int
    }

    private static let cases = [
        Case(testDescription: "nothing refused", calls: [], allowed: 10),
        Case(testDescription: "some denied", calls: [call(front), call(front)], allowed: 8),
        Case(testDescription: "the gateway denied", calls: [call(gateway)], allowed: 10),
        Case(testDescription: "in shadow only", calls: [call(front, .shadow)], allowed: 10),
        Case(
            testDescription: "the same path of another trust domain",
            calls: [call("spiffe://other.example/demo/front")],
            allowed: 10
        ),
        Case(
            testDescription: "a caller without a proxy",
            calls: [call("spiffe://colors/demo/nobody"), call("unknown")],
            allowed: 10
        ),
        Case(
            testDescription: "of a proxy that is gone",
            calls: [call(front, by: "gone-1")],
            allowed: 10
        ),
    ]

    @Test(arguments: Self.cases)
    private func `what was denied is no part of what was allowed`(example: Case) {
        var (book, mesh) = (AuditBook(), CallingMesh())
        _ = mesh.allowed(&book, 1, of: "front")
        for call in example.calls { _ = book.record(call, mesh.names) }
        let records = mesh.allowed(&book, 10, of: "front")
        #expect(
            records == [
                AuditRecord(
                    caller: "shop/front_demo",
                    target: "shop/blue_demo",
                    verdict: .allowed,
                    firstSeconds: 7,
                    lastSeconds: 7,
                    count: example.allowed
                )
            ]
        )
    }

    @Test func `what was denied waits until its caller has counted it`() {
        var (book, mesh) = (AuditBook(), CallingMesh())
        _ = mesh.allowed(&book, 1, of: "front")
        for _ in 0..<6 { _ = book.record(call(front), mesh.names) }
        #expect(mesh.allowed(&book, 4, of: "front") == [])
        #expect(mesh.allowed(&book, 5, of: "front").map(\.count) == [3])
        #expect(mesh.allowed(&book, 5, of: "front").map(\.count) == [5])
    }

    @Test func `beyond the bound only pairs that wait already go on`() {
        var (book, mesh) = (AuditBook(refusedLimit: 1), CallingMesh())
        for name in ["front", "in"] { _ = mesh.allowed(&book, 1, of: name) }
        // Those whom no proxy counts take nobody's place.
        for number in 0..<5 {
            _ = book.record(call("spiffe://other.example/demo/\(number)"), mesh.names)
        }
        for caller in [front, gateway, front] { _ = book.record(call(caller), mesh.names) }
        #expect(mesh.allowed(&book, 10, of: "front").map(\.count) == [8])
        #expect(mesh.allowed(&book, 10, of: "in").map(\.count) == [10])
    }

    @Test(arguments: ["front-1", "blue-1"])
    func `pairs of which one is gone wait no more`(gone: String) {
        var (book, mesh) = (AuditBook(), CallingMesh())
        _ = mesh.allowed(&book, 1, of: "front")
        for _ in 0..<3 { _ = book.record(call(front), mesh.names) }
        book.forget(allBut: mesh.names)
        #expect(mesh.allowed(&book, 1, of: "front") == [])
        var topology = mesh.topology
        topology.proxies[proxyID(gone)] = nil
        book.forget(allBut: AuditNames(topology))
        #expect(mesh.allowed(&book, 10, of: "front").map(\.count) == [10])
    }

    @Test(arguments: [
        (front, "shop/front_demo"), (gateway, "shop/in_demo"),
        ("spiffe://other.example/demo/front", "spiffe://other.example/demo/front"),
        ("spiffe://colors/demo/in", "spiffe://colors/demo/in"), ("CN=somebody", "CN=somebody"),
    ])
    func `a refused caller has its own name, or what it shows`(id: String, caller: String) {
        var book = AuditBook()
        let record = book.record(call(id, .shadow), CallingMesh().names)
        #expect(
            record
                == AuditRecord(
                    caller: caller,
                    target: "shop/blue_demo",
                    verdict: .shadow,
                    firstSeconds: 5,
                    lastSeconds: 5,
                    count: 1,
                    detail: "GET blue.demo/a"
                )
        )
    }

    @Test func `nobody is known by the trust domain of a mesh that has none`() {
        var topology = CallingMesh().topology
        for proxy in topology.proxies.keys { topology.proxies[proxy]?.trustDomain = "" }
        let names = AuditNames(topology)
        #expect(names.name(ofSPIFFEID: "spiffe:///demo/front") == nil)
        #expect(names.name(ofSPIFFEID: front) == nil)
        #expect(names.isKnown("shop/front_demo") && !names.isKnown("shop/other"))
    }
}
