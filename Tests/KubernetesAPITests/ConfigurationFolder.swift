import Foundation
import Synchronization

/// A folder of a test's own, which is removed after it.
struct TestFolder: Sendable {
    let path: String

    /// Runs `body` with a new folder.
    static func use(_ body: (TestFolder) async throws -> Void) async throws {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-configuration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try await body(TestFolder(path: url.path))
    }

    /// Writes a file, and gives its path.
    @discardableResult
    func write(_ name: String, _ text: String, isProgram: Bool = false) throws -> String {
        let url = URL(fileURLWithPath: path).appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try text.write(to: url, atomically: true, encoding: .utf8)
        let mode = isProgram ? 0o755 : 0o600
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: url.path)
        return url.path
    }

    /// Writes a kubeconfig with one context.
    func kubeconfig(
        cluster: String,
        user: String,
        as name: String = "kubeconfig"
    ) throws -> String {
        let cluster = cluster.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
        return try write(
            name,
            """
            apiVersion: v1
            kind: Config
            clusters:
            - name: test
              cluster:
            \(cluster)
            users:
            - name: test
              user: \(user)
            contexts:
            - name: test
              context: {cluster: test, user: test}
            current-context: test

            """
        )
    }
}
