import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What a mesh says of the telemetry that it exports.
@Suite struct TelemetryConditionTests {
    private let mesh = ObjectID(.mesh, ObjectReference(namespace: "", name: "m"))

    private func world(_ export: String) -> World {
        World(
            yaml: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: Mesh
                metadata: {name: m, annotations: {heddle.dev/export: "\(export)"}}
                spec: {namespaceSelector: {}}
                """
        )
    }

    private func plan(_ export: String, _ observation: TelemetryObservation?) -> Plan {
        var observations = Observations()
        observations.telemetry[mesh] = observation
        return MeshPlan.plan(world(export), observations, nowSeconds: 7)
    }

    private func condition(_ plan: Plan) -> Condition? {
        plan.statuses[mesh]?.conditions.first { $0.type == "TelemetryExported" }
    }

    @Test func `a mesh that exports nothing says nothing of it`() {
        #expect(condition(plan("", nil)) == nil)
        #expect(condition(plan("", TelemetryObservation(problems: ["x-ray": "no"]))) == nil)
    }

    @Test func `it is not known before something was sent`() {
        let condition = condition(plan("x-ray, otlp=http://a:4318", nil))
        #expect(condition?.status == .unknown)
        #expect(condition?.reason == "NotTried")
        #expect(condition?.message == "Nothing has been sent yet to x-ray, otlp=http://a:4318.")
    }

    @Test func `what arrives and what does not is told`() {
        let exported = condition(plan("cloudwatch, cloudwatch-logs", TelemetryObservation()))
        #expect(exported?.status == .true)
        #expect(exported?.reason == "Exported")
        #expect(exported?.message == "It is sent to cloudwatch, cloudwatch-logs.")
        let failing = TelemetryObservation(problems: [
            "x-ray": "timed out; wait", "otlp": "refused",
        ])
        let failed = condition(plan("x-ray, otlp=http://a:4318", failing))
        #expect(failed?.status == .false)
        #expect(failed?.reason == "ExportFailed")
        #expect(failed?.message == "otlp: refused. x-ray: timed out; wait.")
        let denied = TelemetryObservation(problems: ["x-ray": "no rights."], isDenied: true)
        #expect(condition(plan("x-ray", denied))?.reason == "AccessDenied")
        #expect(condition(plan("x-ray", denied))?.message == "x-ray: no rights.")
    }

    @Test func `an export that fails, and one that works again, are events`() {
        let good = plan("x-ray", TelemetryObservation())
        let bad = plan("x-ray", TelemetryObservation(problems: ["x-ray": "timed out"]))
        func reported(from previous: Plan, to next: Plan) -> [String] {
            events(
                from: (previous, Observations()),
                to: (next, Observations()),
                nowSeconds: 9
            )
            .map { "\($0.severity) \($0.reason) \($0.object): \($0.message)" }
        }
        #expect(
            reported(from: good, to: bad) == ["warning ExportFailed Mesh m: x-ray: timed out."]
        )
        #expect(
            reported(from: bad, to: good) == ["normal Exported Mesh m: It is sent to x-ray."]
        )
        #expect(reported(from: good, to: good).isEmpty)
    }
}
