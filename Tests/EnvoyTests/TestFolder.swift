import Foundation
import Synchronization

/// A folder of a test's own, which is removed after it.
///
/// Its path is short, as those of Unix sockets have to be.
struct TestFolder: Sendable {
    let url: URL

    private static let count = Mutex(0)

    /// Runs `body` with a new folder.
    static func use(_ body: (TestFolder) async throws -> Void) async throws {
        let number = count.withLock { count in
            count += 1
            return count
        }
        let folder = TestFolder(
            url: URL(fileURLWithPath: "/tmp/heddle-test-\(getpid())-\(number)")
        )
        try FileManager.default.createDirectory(
            at: folder.url,
            withIntermediateDirectories: true
        )
        defer { try? FileManager.default.removeItem(at: folder.url) }
        try await body(folder)
    }

    /// The path of a file in it.
    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}
