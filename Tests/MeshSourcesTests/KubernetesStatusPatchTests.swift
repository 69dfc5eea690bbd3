import MeshModel
import Testing

@testable import MeshSources

@Suite struct KubernetesStatusPatchTests {
    private func status(
        _ value: Condition.Status = .true,
        message: String = "It is valid and in force.",
        at seconds: Int = 2000,
        fields: [String: JSONValue] = [:]
    ) -> ObjectStatus {
        ObjectStatus(
            conditions: [
                Condition(
                    type: "VirtualNodeActive",
                    status: value,
                    reason: "Active",
                    message: message,
                    lastTransitionTimeSeconds: seconds
                )
            ],
            observedGeneration: 1,
            fields: fields
        )
    }

    @Test func `a new object gets all of its status`() {
        let wanted = status(fields: ["virtualNodeARN": "arn"])
        #expect(statusPatch(from: .null, to: wanted) == wanted.document)
        #expect(statusPatch(from: [:], to: wanted) == wanted.document)
    }

    @Test func `an unchanged status is not written, whenever it is planned`() {
        let live = status(at: 1000, fields: ["share": .number(2), "gone": .null]).document
        var kept = live
        kept["gone"] = nil
        kept["share"] = 2
        let wanted = status(at: 9999, fields: ["share": .number(2), "gone": .null])
        #expect(statusPatch(from: kept, to: wanted) == nil)
    }

    @Test func `a condition that turns has its own time`() {
        let live = status(at: 1000).document
        let patch = statusPatch(from: live, to: status(.false, at: 2000))
        #expect(patch?.object?.keys.sorted() == ["conditions"])
        let condition = patch?["conditions"]?.array?.first
        #expect(condition?["lastTransitionTime"] == "1970-01-01T00:33:20Z")
        #expect(turnsFalse(status(.false), after: live))
        #expect(!turnsFalse(status(.false), after: status(.false).document))
    }

    @Test func `what App Mesh's controller wrote is replaced, and its time kept`() {
        let live: JSONValue = [
            "virtualNodeARN": "arn:aws:appmesh:us-west-2:1:mesh/m/virtualNode/n",
            "conditions": [
                [
                    "type": "VirtualNodeActive", "status": "True",
                    "lastTransitionTime": "2021-01-01T00:00:00Z",
                ]
            ], "observedGeneration": 1, "other": ["a": 1],
        ]
        let patch = statusPatch(from: live, to: status(fields: ["virtualNodeARN": "arn:local"]))
        #expect(
            patch == [
                "virtualNodeARN": "arn:local", "other": .null,
                "conditions": [
                    [
                        "type": "VirtualNodeActive", "status": "True", "reason": "Active",
                        "message": "It is valid and in force.",
                        "lastTransitionTime": "2021-01-01T00:00:00Z",
                    ]
                ],
            ]
        )
    }

    @Test func `members that are gone are removed, in objects within too`() {
        let before = status(fields: ["routeARNs": ["a": "1", "b": "2"], "sidecarCount": 1])
        let after = status(fields: ["routeARNs": ["a": "1"]])
        #expect(
            statusPatch(from: before.document, to: after)
                == ["routeARNs": ["b": .null], "sidecarCount": .null]
        )
    }

    @Test func `a long message is cut between characters`() {
        let wanted = status(.false, message: String(repeating: "é", count: 9000))
        let document = statusDocument(wanted, after: .null)
        let message = document["conditions"]?.array?.first?["message"]?.string ?? ""
        #expect(message.utf8.count <= 8192)
        #expect(message.hasSuffix("é…"))
    }
}
