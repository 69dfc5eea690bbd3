import MeshModel
import MeshPlan
import Testing

/// What a proxy's bootstrap says of its memory.
@Suite struct OverloadTests {
    private func text(memoryLimitBytes: Int?) throws -> String {
        let parameters = BootstrapParameters(
            xdsSocketPath: "/x",
            adminSocketPath: "/a",
            token: "t",
            memoryLimitBytes: memoryLimitBytes
        )
        return try bootstrap(nodeID: "n", parameters).json.prettyText
    }

    @Test func `a proxy without a limit sheds nothing`() throws {
        #expect(try !text(memoryLimitBytes: nil).contains("overload_actions"))
    }

    /// In MiB: what was measured to live under loads that want more.
    @Test(arguments: [(64, 45), (128, 99), (256, 208)])
    func `a proxy's heap leaves room for what else the kernel counts`(
        _ limit: Int,
        _ heap: Int
    ) throws {
        let text = try text(memoryLimitBytes: limit << 20)
        let bytes = try #require(text.firstMatch(of: /"max_heap_size_bytes"\s*:\s*"?(\d+)/)?.1)
        #expect(try #require(Int(bytes)) >> 20 == heap)
        #expect(text.contains("envoy.overload_actions.reset_high_memory_stream"))
    }

    @Test func `a limit too small for any proxy does not refuse every request`() throws {
        let text = try text(memoryLimitBytes: 1 << 20)
        let bytes = try #require(text.firstMatch(of: /"max_heap_size_bytes"\s*:\s*"?(\d+)/)?.1)
        #expect(try #require(Int(bytes)) >> 20 == 12)
    }
}
