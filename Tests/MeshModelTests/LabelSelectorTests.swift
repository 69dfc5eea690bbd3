import MeshModel
import Testing

@Suite struct LabelSelectorTests {
    static let labels = ["app": "colors", "tier": "web"]

    @Test func `an empty selector matches everything`() {
        #expect(LabelSelector().matches([:]))
        #expect(LabelSelector().matches(Self.labels))
    }

    @Test(arguments: [
        (["app": "colors"], true),
        (["app": "colors", "tier": "web"], true),
        (["app": "colors", "tier": "db"], false),
        (["zone": "a"], false),
    ])
    func `every label must be there with its value`(_ wanted: [String: String], _ holds: Bool) {
        #expect(LabelSelector(matchLabels: wanted).matches(Self.labels) == holds)
    }

    @Test(
        arguments: [
            ("app", .in, ["colors", "numbers"], true),
            ("app", .in, ["numbers"], false),
            ("zone", .in, ["a"], false),
            ("app", .notIn, ["numbers"], true),
            ("app", .notIn, ["colors"], false),
            ("zone", .notIn, ["a"], true),
            ("app", .exists, [], true),
            ("zone", .exists, [], false),
            ("app", .doesNotExist, [], false),
            ("zone", .doesNotExist, [], true),
        ] as [(String, LabelSelector.Requirement.Operator, [String], Bool)]
    )
    func `an expression compares as in Kubernetes`(
        _ key: String,
        _ operator: LabelSelector.Requirement.Operator,
        _ values: [String],
        _ holds: Bool
    ) {
        let requirement = LabelSelector.Requirement(key: key, operator: `operator`, values: values)
        #expect(LabelSelector(matchExpressions: [requirement]).matches(Self.labels) == holds)
    }

    @Test func `labels and expressions must all hold`() {
        let exists = LabelSelector.Requirement(key: "zone", operator: .exists)
        let selector = LabelSelector(matchLabels: ["app": "colors"], matchExpressions: [exists])
        #expect(!selector.matches(Self.labels))
        #expect(selector.matches(["app": "colors", "zone": "a"]))
    }
}
