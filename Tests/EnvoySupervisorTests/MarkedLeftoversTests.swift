import Foundation
import Logging
import Testing

@testable import EnvoySupervisor

@Suite struct MarkedLeftoversTests {
    @Test func `a process that was started and not recorded is found by its mark`() async throws {
        let state = Harness.newFolder()
        let command = Command(
            arguments: ["sleep", "1000"],
            environment: Command.ownEnvironment.merging([Command.mark: state]) { $1 },
            directory: nil
        )
        let other = Command(
            arguments: ["sleep", "1000"],
            environment: Command.ownEnvironment.merging([Command.mark: state + "x"]) { $1 },
            directory: nil
        )
        let marked = try #require(RunningProcess(pid: command.start(logPath: "/dev/null")))
        let stranger = try #require(RunningProcess(pid: other.start(logPath: "/dev/null")))
        let leftovers = Adoption(stateDirectory: state).leftovers
        #expect(leftovers.map(\.identity) == [marked.identity])
        await Leftovers.end(leftovers, logger: .init(label: "test"))
        #expect(marked.hasEnded)
        #expect(!stranger.hasEnded)
        stranger.signal(SIGKILL)
    }
}
