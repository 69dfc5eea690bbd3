import Foundation
import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

private let path = "/apis/heddle.dev/v1alpha1"
private let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

@Suite(.timeLimit(.minutes(1))) struct `Proxies of the API` {
    private func answer(
        _ api: APIHandler,
        _ request: APIRequest
    ) async throws -> (code: Int, document: JSONValue) {
        let response = await api.respond(to: request)
        guard case .bytes(let bytes) = response.body else { throw APIFailure.noResource }
        return (response.status, try JSONDecoder().decode(JSONValue.self, from: Data(bytes)))
    }

    private func get(
        _ target: String,
        accept: String = ""
    ) async throws -> (code: Int, document: JSONValue) {
        let request = APIRequest(target: "\(path)/\(target)", accept: accept)
        return try await answer(ProxySample().handler(), request)
    }

    @Test(arguments: [
        ("proxies", ["blue-1", "green-1", "red-1"]),
        ("namespaces/demo/proxies", ["blue-1", "green-1", "red-1"]), ("namespaces/x/proxies", []),
        ("proxies?fieldSelector=metadata.name%3Dred-1", ["red-1"]),
        ("proxies?labelSelector=app%3Dblue-1", ["blue-1"]),
    ])
    func `are listed`(target: String, expected: [String]) async throws {
        let items = try await get(target).document["items"]?.array ?? []
        #expect(items.compactMap { $0["metadata"]?["name"]?.string } == expected)
    }

    @Test func `say what they are`() async throws {
        let (code, blue) = try await get("namespaces/demo/proxies/blue-1")
        #expect(code == 200)
        #expect(blue["kind"] == "Proxy")
        let spec = try #require(blue["spec"])
        #expect(spec["owner"] == ["kind": "VirtualNode", "name": "blue"])
        #expect(spec["ingressAddress"] == "127.66.0.1")
        #expect(spec["egressPorts"] == [15001])
        #expect(spec["resources"] == ["requests": ["cpu": "250m", "memory": "256Mi"]])
    }

    @Test(arguments: [
        ("blue-1", "/mesh/mesh.yaml", 3), ("green-1", "/home/me/mesh/green.yaml", 9),
        ("red-1", nil, nil),
    ])
    func `say where their resources are asked for`(
        name: String,
        file: String?,
        line: Int?
    ) async throws {
        let (_, proxy) = try await get("namespaces/demo/proxies/\(name)")
        #expect(proxy["spec"]?["source"]?["file"]?.string == file)
        #expect(proxy["spec"]?["source"]?["line"]?.integer == line)
    }

    @Test func `say how they are`() async throws {
        let (_, blue) = try await get("namespaces/demo/proxies/blue-1")
        let status = try #require(blue["status"])
        #expect(status["state"] == "Running")
        #expect(status["ready"] == true)
        #expect(status["pid"] == 4711)
        #expect(status["envoyVersion"] == "1.40.0")
        #expect(status["upgrades"] == 2)
        #expect(status["acknowledged"] == true)
        #expect(status["enforcement"] == ["by": "ControlGroup"])
        #expect(status["usage"]?["cpu"] == "31m")
        #expect(status["usage"]?["memoryBytes"] == .integer(64 << 20))
        #expect(
            status["history"]?["memory"]
                == ["p50": "20Mi", "p90": "30Mi", "p95": "40Mi", "max": "60Mi"]
        )
        #expect(status["recommendation"]?["verdict"] == "Oversized")
        #expect(status["recommendation"]?["resources"]?["requests"]?["memory"] == "48Mi")
    }

    @Test func `that start are not ready, and nobody knows what they use`() async throws {
        let (_, red) = try await get("namespaces/demo/proxies/red-1")
        #expect(red["status"]?["state"] == "ProxyStarting")
        #expect(red["status"]?["ready"] == false)
        #expect(red["status"]?["outdated"] == true)
        #expect(red["status"]?["acknowledged"] == false)
        #expect(red["status"]?["usage"] == nil)
        #expect(red["status"]?["recommendation"]?["forecast"] == true)
    }

    @Test func `that are not there are not found`() async throws {
        let (code, failure) = try await get("namespaces/demo/proxies/pink-1")
        #expect(code == 404)
        #expect(failure["message"] == "proxies.heddle.dev \"pink-1\" not found")
    }

    @Test func `are a table`() async throws {
        let (_, table) = try await get("namespaces/demo/proxies", accept: table)
        let columns = (table["columnDefinitions"]?.array ?? []).filter { $0["priority"] == 0 }
        #expect(
            columns.compactMap { $0["name"]?.string } == [
                "Name", "Owner", "State", "Envoy", "Restarts", "Upgrades", "CPU", "Memory", "Age",
            ]
        )
        let rows = table["rows"]?.array ?? []
        #expect(
            rows.first?["cells"] == [
                "blue-1", "blue", "Running", "1.40.0", "1", "2", "31m", "64Mi", "5m", "4711",
                "127.66.0.1", "127.67.0.1", "12.3", "3", "Oversized", "",
            ]
        )
        #expect(
            rows.last?["cells"]?.array?.prefix(9) == [
                "red-1", "red", "ProxyStarting", "1.39.0 (outdated)", "0", "0", "<none>", "<none>",
                "<none>",
            ]
        )
    }

    @Test func `are found by discovery`() async throws {
        let (_, list) = try await answer(ProxySample().handler(), APIRequest(target: path))
        let names = (list["resources"]?.array ?? []).compactMap { $0["name"]?.string }
        #expect(names.contains("proxies"))
        #expect(names.contains("proxies/upgrade"))
    }

    @Test func `have a version that what they use does not change`() async throws {
        let state = APIState(firstVersion: 100)
        var sample = ProxySample()
        sample.publish(in: state)
        let version = state.proxies.version
        sample.publish(in: state)
        #expect(state.proxies.version == version)
        sample.observations.proxies[proxyID("blue-1")]?.process?.restarts = 9
        sample.publish(in: state)
        #expect(state.proxies.version == version + 1)
    }

    @Test func `are watched from the version of a list`() async throws {
        var sample = ProxySample()
        let api = sample.handler()
        let (_, list) = try await answer(api, APIRequest(target: "\(path)/proxies"))
        let version = list["metadata"]?["resourceVersion"]?.string ?? ""
        let target = "\(path)/proxies?watch=true&resourceVersion=\(version)"
        let response = await api.respond(to: APIRequest(target: target))
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        sample.plan.proxies[proxyID("red-1")] = nil
        sample.observations.proxies[proxyID("blue-1")]?.process?.restarts = 9
        let changed = sample
        var events: [String] = []
        struct Ended: Error {}
        await #expect(throws: Ended.self) {
            try await stream { bytes in
                if bytes.isEmpty { changed.publish(in: api.state) }
                for line in bytes.split(separator: UInt8(ascii: "\n")) {
                    let event = try JSONDecoder().decode(JSONValue.self, from: Data(line))
                    let name = event["object"]?["metadata"]?["name"]?.string ?? ""
                    events.append("\(event["type"]?.string ?? "") \(name)")
                }
                if events.count == 2 { throw Ended() }
            }
        }
        #expect(events == ["MODIFIED blue-1", "DELETED red-1"])
    }

    @Test(arguments: [
        ("namespaces/demo/proxies/blue-1/upgrade", Set([proxyID("blue-1")]) as Set<ProxyID>?),
        ("proxies/upgrade", nil),
    ])
    func `are upgraded, each step on a line`(
        target: String,
        expected: Set<ProxyID>?
    ) async throws {
        let asked = Asked<Set<ProxyID>?>()
        let steps: [ProxyUpgradeStep.Progress] = [
            .starting, .done(version: "1.40.1", seconds: 0.6),
        ]
        let api = ProxySample().handler(upgrade: upgrading(steps, asked: asked))
        let request = APIRequest(method: "POST", target: "\(path)/\(target)", isFromSocket: true)
        let response = await api.respond(to: request)
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var text = ""
        try await stream { text += String(decoding: $0, as: UTF8.self) }
        let read = try text.split(separator: "\n").compactMap {
            ProxyUpgradeStep(try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8)))
        }
        #expect(read.map(\.progress) == steps)
        #expect(read.allSatisfy { $0.fromVersion == "1.40.0" })
        #expect(asked.values == [expected])
    }

    @Test(arguments: [
        ("namespaces/demo/proxies/blue-1/upgrade", false, true, 403),
        ("proxies/upgrade", false, true, 403),
        ("namespaces/demo/proxies/pink-1/upgrade", true, true, 404),
        ("proxies/upgrade", true, false, 501),
    ])
    func `are not upgraded by strangers, where they are not, or by nobody`(
        target: String,
        isFromSocket: Bool,
        hasHandler: Bool,
        expected: Int
    ) async throws {
        let asked = Asked<Set<ProxyID>?>()
        let api = ProxySample().handler(upgrade: hasHandler ? upgrading([], asked: asked) : nil)
        let request = APIRequest(
            method: "POST",
            target: "\(path)/\(target)",
            isFromSocket: isFromSocket
        )
        #expect(try await answer(api, request).code == expected)
        #expect(asked.values.isEmpty)
        let read = APIRequest(target: "\(path)/\(target)", isFromSocket: true)
        #expect(try await answer(api, read).code == 405)
    }

    @Test func `a failed upgrade says why and what serves`() {
        let step = ProxyUpgradeStep(
            proxy: proxyID("a"),
            progress: .failed(reason: "bad option", serving: "Envoy 1.40.0 (pid 7)")
        )
        #expect(ProxyUpgradeStep(step.document) == step)
        let skipped = ProxyUpgradeStep(proxy: proxyID("a"), progress: .skipped(reason: "gone"))
        #expect(ProxyUpgradeStep(skipped.document) == skipped)
        #expect(ProxyUpgradeStep(["namespace": "demo", "name": "a", "phase": "New"]) == nil)
    }
}

@Suite struct `Resource quantities` {
    @Test(arguments: [(250, "250m"), (2000, "2"), (0, "0"), (1500, "1500m")])
    func `of the processor are exact`(millicores: Int, text: String) {
        #expect(cpuQuantity(millicores: millicores) == text)
    }

    @Test(arguments: [
        (256 << 20, "256Mi"), (1 << 30, "1Gi"), (1500 << 20, "1500Mi"), (100_000_000, "100000000"),
        (3 << 10, "3Ki"), (0, "0"),
    ])
    func `of memory are exact`(bytes: Int, text: String) {
        #expect(memoryQuantity(bytes: bytes) == text)
    }

    @Test(arguments: [(0.0, "0m"), (0.01, "1m"), (30.6, "31m"), (2000, "2000m"), (.nan, "0m")])
    func `that were measured are whole, and little is not nothing`(value: Double, text: String) {
        #expect(ResourceQuantity.used(millicores: value) == text)
    }

    @Test(arguments: [(0.0, "0Mi"), (1.0, "1Mi"), (27.4 * 1_048_576, "27Mi"), (1e10, "9537Mi")])
    func `that were measured are mebibytes`(value: Double, text: String) {
        #expect(ResourceQuantity.used(bytes: value) == text)
    }

    @Test(arguments: [(0.0, "0.0"), (12.34, "12.3"), (-0.26, "-0.3"), (.infinity, "0.0")])
    func `have one digit after the point`(value: Double, text: String) {
        #expect(ResourceQuantity.decimal(value) == text)
    }

    @Test(arguments: [
        SidecarResources(), SidecarResources(cpuRequestMillicores: 1000, memoryRequestBytes: 1001),
        SidecarResources(cpuLimitMillicores: 1500, memoryLimitBytes: 3 << 30),
    ])
    func `are read as they were written`(resources: SidecarResources) {
        #expect(ResourceQuantity.resources(resources.document) == resources)
    }
}
