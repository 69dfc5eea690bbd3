import MeshModel
import Testing

@Suite struct ConditionTests {
    private func condition(
        _ status: Condition.Status,
        _ message: String,
        at seconds: Int = 0
    ) -> Condition {
        Condition(
            type: "MeshActive",
            status: status,
            reason: "Any",
            message: message,
            lastTransitionTimeSeconds: seconds
        )
    }

    @Test func `a new condition has the present time`() {
        let merged = Condition.merging([condition(.true, "a")], into: [], nowSeconds: 9)
        #expect(merged == [condition(.true, "a", at: 9)])
    }

    @Test func `the transition time stays until the status changes`() {
        let first = [condition(.true, "a", at: 5)]
        let same = Condition.merging([condition(.true, "b")], into: first, nowSeconds: 9)
        #expect(same == [condition(.true, "b", at: 5)])
        let other = Condition.merging([condition(.false, "b")], into: same, nowSeconds: 9)
        #expect(other == [condition(.false, "b", at: 9)])
    }

    @Test func `conditions that no longer are said go`() {
        let gone = Condition(type: "Old", status: .true, reason: "Any", message: "a")
        #expect(Condition.merging([], into: [gone], nowSeconds: 9).isEmpty)
    }

    @Test func `a status is shown as Kubernetes shows one`() {
        let status = ObjectStatus(
            conditions: [condition(.true, "It is valid.", at: 60)],
            observedGeneration: 3,
            fields: ["meshARN": "arn"]
        )
        let document: JSONValue = [
            "meshARN": "arn", "observedGeneration": 3,
            "conditions": [
                [
                    "type": "MeshActive", "status": "True", "reason": "Any",
                    "message": "It is valid.", "lastTransitionTime": "1970-01-01T00:01:00Z",
                ]
            ],
        ]
        #expect(status.document == document)
    }
}
