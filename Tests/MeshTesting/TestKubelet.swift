public import Foundation
internal import Synchronization

/// Runs the Pods of a `KubernetesServer` as processes of this machine, in namespaces of their own, with
/// real Envoys and the rules of `heddle redirect`.
///
/// It ends with this object, or with the test. It takes root.
public final class TestKubelet: Sendable {
    /// This machine's address in the Pods' network.
    public let nodeAddress: String
    /// Where the logs of containers are, in `<namespace>_<pod>/<container>.log`.
    public let folder: URL
    private let process: ServerProcess

    /// Starts it.
    ///
    /// - Parameters:
    ///   - server: Whose Pods it runs.
    ///   - heddle: The program for images of Heddle.
    ///   - envoy: The program for images of Envoy.
    ///   - hosts: Names, and the addresses that they have for Pods; nil is this machine's.
    /// - Throws: When it ends before it runs.
    public init(
        of server: KubernetesServer,
        heddle: String,
        envoy: String,
        hosts: [String: String?]
    ) async throws {
        folder = server.folder.appendingPathComponent("pods")
        let number = Self.number.withLock { number in
            number += 1
            return (Int(getpid()) + number) % 200 + 20
        }
        nodeAddress = "198.18.\(number).1"
        var command = [
            "python3", Self.file("kubelet.py"), "--kubeconfig", server.kubeconfig, "--heddle",
            heddle, "--envoy", envoy, "--folder", folder.path, "--network", "\(number)",
        ]
        for (name, address) in hosts { command += ["--host", "\(name)=\(address ?? nodeAddress)"] }
        process = try await .start(command, until: "kubelet")
    }

    /// What `command` prints in the network of the Pod `namespace/name`, with the names that it knows.
    ///
    /// - Throws: `ServerFailed` when it fails.
    public func exec(
        _ command: [String],
        in namespace: String,
        _ name: String
    ) async throws -> String {
        let file = folder.appendingPathComponent("\(namespace)_\(name)/network")
        let network = try String(contentsOf: file, encoding: .utf8)
        let script = #"mount --bind "$0" /etc/hosts && exec "$@""#
        let result = try await runCommand(
            "/usr/bin/env",
            [
                "nsenter", "--net=/run/netns/\(network)", "--", "unshare", "-m", "--propagation",
                "private", "sh", "-c", script, folder.appendingPathComponent("hosts").path,
            ] + command
        )
        guard result.status == 0 else { throw ServerFailed(output: result.output) }
        return result.output
    }

    private static let number = Mutex(0)

    /// The application that Pods of tests run: `application.py NAME PORT`.
    public static let application = file("application.py")

    /// What the containers of a Pod wrote, for messages.
    public func logs() -> String {
        let files = FileManager.default.enumerator(atPath: folder.path)?.allObjects ?? []
        return files.compactMap { $0 as? String }.filter { $0.hasSuffix(".log") }.sorted()
            .map { name in
                let path = folder.appendingPathComponent(name).path
                let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
                return "== \(name)\n\(text.suffix(3000))"
            }
            .joined(separator: "\n")
    }

    static func file(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Kubelet/\(name)").path
    }
}
