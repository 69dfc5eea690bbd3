import GRPCCore
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// Endpoints that fail are left out for a while.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct OutlierDetectionTests {
    private func detection(maxEjectionPercent: Int) -> String {
        "outlierDetection: {maxServerErrors: 3, interval: {unit: ms, value: 100}, "
            + "baseEjectionDuration: {unit: s, value: 1}, "
            + "maxEjectionPercent: \(maxEjectionPercent)}"
    }

    private let workloads = ["one", "two", "three"]

    @Test func `a workload that fails gets no requests until its time is over`() async throws {
        func color(maxEjectionPercent: Int) -> String {
            Manifests.node("color", listener: detection(maxEjectionPercent: maxEjectionPercent))
        }
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color"])
            + Manifests.service("color")
            + workloads.enumerated().map {
                Manifests.workload($0.element, of: "color", appPort: "APP\($0.offset + 1)")
            }.joined()
        try await RunningMesh.run([
            "mesh.yaml": base, "color.yaml": color(maxEjectionPercent: 40),
        ]) { mesh in
            func answers(_ count: Int) async throws -> [HTTPResponse] {
                var answers: [HTTPResponse] = []
                for _ in 0..<count {
                    answers.append(
                        try await mesh.request(from: "front", host: "color.demo:8080")
                    )
                }
                return answers
            }
            func names(_ count: Int) async throws -> Set<String> {
                Set(try await answers(count).compactMap(\.name))
            }
            let one = mesh.application(1)
            // Fewer failures in a row than that leave it in.
            try await one.answer(next: [.status(500), .status(500)])
            #expect(try await answers(12).filter { $0.status == 500 }.count == 2)
            #expect(try await names(6) == ["one", "two", "three"])

            try await one.answer(always: .status(500))
            while try await names(9) != ["two", "three"] {}
            try await one.answer(always: .status(200))
            while try await names(9) != ["one", "two", "three"] {}

            // Of three that fail, 40 % is one.
            try await expectOneOut(of: mesh, answers)
            // One may always be left out.
            try mesh.save("color.yaml", color(maxEjectionPercent: 0))
            _ = try await mesh.line(containing: "in force")
            try await expectOneOut(of: mesh, answers)

            // With all of them out, all are asked again, unless there shall be no panic.
            for number in 1...3 { try await mesh.application(number).answer(always: .status(500)) }
            try mesh.save("color.yaml", color(maxEjectionPercent: 100))
            _ = try await mesh.line(containing: "in force")
            while try await ejections(in: mesh) < 3 { _ = try await answers(1) }
            #expect(try await answers(12).map(\.status) == Array(repeating: 500, count: 12))
            let calm = Manifests.policy(
                "calm",
                for: "VirtualNode/color",
                features: "loadBalancing: {panicThreshold: 0}"
            )
            try mesh.save("calm.yaml", calm)
            _ = try await mesh.line(containing: "in force")
            while try await answers(1)[0].name != nil {}
        }
    }

    /// How many workloads of the node "color" are left out by "front".
    private func ejections(in mesh: RunningMesh) async throws -> Int {
        let cluster = "cluster.cds_egress_demo_color_demo_http_8080"
        return try await mesh.statistic(
            "\(cluster).outlier_detection.ejections_active",
            of: "front"
        )
    }

    /// Has every workload fail: one is left out, and the others are asked on.
    private func expectOneOut(
        of mesh: RunningMesh,
        _ answers: (Int) async throws -> [HTTPResponse]
    ) async throws {
        for number in 1...3 { try await mesh.application(number).answer(always: .status(500)) }
        while try await ejections(in: mesh) == 0 {
            #expect(try await answers(1).map(\.status) == [500])
        }
        for _ in 0..<10 {
            // Each of the others fails 3 times in a row, over and over.
            let names = Set(try await answers(6).compactMap(\.name))
            #expect(names.count >= 2)
            #expect(try await ejections(in: mesh) <= 1)
        }
        for number in 1...3 { try await mesh.application(number).answer(always: .status(200)) }
    }

    @Test func `a gRPC server that fails gets no calls until its time is over`() async throws {
        try await EchoServer.run(workloads) { servers, ports in
            let base =
                Manifests.mesh()
                + Manifests.running("front", protocol: "grpc", backends: ["color"])
                + Manifests.node(
                    "color",
                    protocol: "grpc",
                    listener: detection(maxEjectionPercent: 40)
                ) + Manifests.service("color")
                + zip(workloads, ports).map {
                    Manifests.runningWorkload($0, of: "color", appPort: $1)
                }.joined()
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.egressAddress(of: "front")
                try await EchoClient.run(address, port: 8080, authority: "color.demo:8080") {
                    client in
                    func answers() async throws -> Set<String> {
                        try Task.checkCancellation()
                        var answers: Set<String> = []
                        for _ in 0..<9 {
                            let answer = try? await client.say("hi")
                            answers.insert(answer?.message ?? "failed")
                        }
                        return answers
                    }
                    let all = Set(workloads.map { "\($0): hi" })
                    #expect(try await answers() == all)
                    servers[0].refusals.withLock {
                        $0 = Array(repeating: .internalError, count: 1000)
                    }
                    while try await answers() != all.subtracting(["one: hi"]) {}
                    servers[0].refusals.withLock { $0 = [] }
                    while try await answers() != all {}
                }
            }
        }
    }
}
