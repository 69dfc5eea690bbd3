import MeshModel
import Testing

@testable import MeshPlan

/// The rules that a rate becomes for X-Ray's tracer.
@Suite struct SamplingRateTests {
    /// How many numbers from 0 to 99 Envoy traces by `rules`.
    private func traced(_ rules: String) throws -> Int {
        let rate = try #require(rules.firstMatch(of: /"rate":([0-9.e-]+)/)?.1)
        let number = try #require(Double(rate))
        return (0..<100).count { Double($0) < 100 * number }
    }

    @Test func `every percent is traced as such`() throws {
        for percent in 0...100 {
            #expect(try traced(samplingRules(rate: Double(percent) / 100)) == percent)
        }
    }

    @Test func `other rates are rounded as App Mesh's agent did`() throws {
        #expect(try traced(samplingRules(rate: 0.024)) == 2)
        #expect(try traced(samplingRules(rate: 0.025)) == 3)
        #expect(try traced(samplingRules(rate: 0.001)) == 0)
    }

    @Test func `the rules are those of App Mesh's agent`() {
        #expect(
            samplingRules(rate: 0.05)
                == #"{"version":2,"rules":[],"default":{"fixed_target":1,"rate":0.05}}"#
        )
    }
}
