internal import Foundation
internal import Synchronization

/// Network namespaces that stand for the Pods of one Kubernetes node: each has an address of its own on
/// a bridge that they share with the test.
///
/// It takes root, and `ip`, `nsenter` and `setpriv` of Debian's iproute2 and util-linux.
public final class PodNetwork: Sendable {
    /// The test's own address, at which Pods reach what the test listens on, such as an xDS server at
    /// 0.0.0.0.
    public let nodeAddress: String
    private let number: Int
    private let pods = Mutex<[TestPod]>([])

    /// Networks of this process so far: each has a range of addresses of its own.
    private static let count = Mutex(0)

    private init(number: Int) {
        self.number = number
        nodeAddress = "198.18.\(number).1"
    }

    /// Runs `body` with a new network, and removes it after with all that runs in its Pods.
    public static func use(_ body: (PodNetwork) async throws -> Void) async throws {
        let count = count.withLock { count in
            count += 1
            return count
        }
        let network = PodNetwork(number: (Int(getpid()) + count) % 250 + 1)
        await removeLeftOvers()
        do {
            try await network.begin()
            try await body(network)
        } catch {
            await network.end()
            throw error
        }
        await network.end()
    }

    /// A new Pod, with an address and nothing that runs in it.
    ///
    /// - Parameter name: A word, unlike those of the network's other Pods.
    /// - Returns: The Pod.
    /// - Throws: When `ip` can't make it.
    public func pod(_ name: String) async throws -> TestPod {
        let index = pods.withLock { $0.count }
        let pod = TestPod(
            namespace: "heddle-\(getpid())-\(number)-\(name)",
            link: "hp\(number)-\(index)",
            address: "198.18.\(number).\(index + 2)",
            addressOfIPv6: "fd66:\(number)::\(index + 2)"
        )
        pods.withLock { $0.append(pod) }
        let inside = ["-n", pod.namespace]
        try await ip(["netns", "add", pod.namespace])
        try await ip(
            ["link", "add", pod.link, "type", "veth", "peer", "name", "eth0", "netns"]
                + [pod.namespace]
        )
        try await ip(["link", "set", pod.link, "master", bridge, "up"])
        try await ip(inside + ["link", "set", "lo", "up"])
        try await ip(inside + ["address", "add", "\(pod.address)/24", "dev", "eth0"])
        try await ip(inside + ["link", "set", "eth0", "up"])
        try await ip(inside + ["route", "add", "default", "via", nodeAddress])
        // A kernel may be without IPv6.
        _ = try? await ip(
            inside + ["address", "add", "\(pod.addressOfIPv6)/64", "dev", "eth0", "nodad"]
        )
        _ = try? await ip(
            inside + ["-6", "route", "add", "default", "via", "fd66:\(number)::1"]
        )
        return pod
    }

    private var bridge: String { "hb\(number)" }

    private func begin() async throws {
        try await ip(["link", "add", bridge, "type", "bridge"])
        try await ip(["address", "add", "\(nodeAddress)/24", "dev", bridge])
        _ = try? await ip(["address", "add", "fd66:\(number)::1/64", "dev", bridge, "nodad"])
        try await ip(["link", "set", bridge, "up"])
    }

    private func end() async {
        for pod in pods.withLock({ $0 }) {
            await Self.removeNamespace(pod.namespace)
            _ = try? await ip(["link", "delete", pod.link])
        }
        _ = try? await ip(["link", "delete", bridge])
    }

    /// Ends what runs in `namespace`, and removes it.
    private static func removeNamespace(_ namespace: String) async {
        let pids = try? await ip(["netns", "pids", namespace])
        for pid in (pids ?? "").split(whereSeparator: \.isNewline).compactMap({ Int32($0) }) {
            kill(pid, SIGKILL)
        }
        _ = try? await ip(["netns", "delete", namespace])
    }

    /// Removes what test processes left that were killed.
    private static func removeLeftOvers() async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        for name in names where name.hasPrefix("heddle-") {
            let parts = name.split(separator: "-")
            guard parts.count >= 3, let pid = Int32(parts[1]), kill(pid, 0) != 0 else { continue }
            await removeNamespace(name)
            _ = try? await ip(["link", "delete", "hb\(parts[2])"])
        }
    }
}

/// One Pod of a `PodNetwork`.
public struct TestPod: Sendable {
    /// The name of its network namespace.
    public let namespace: String
    /// The network's end of its connection.
    fileprivate let link: String
    /// What a Pod has in `status.podIP`.
    public let address: String
    /// Its address of IPv6, where the kernel has that.
    public let addressOfIPv6: String

    /// Runs `command` in the Pod to its end.
    ///
    /// - Parameters:
    ///   - command: The program, by its path or as one of PATH, and its arguments.
    ///   - environment: Variables beside those of the test.
    ///   - user: The uid and gid as which it runs; nil is root.
    /// - Returns: How it ended.
    /// - Throws: When it can't be started.
    public func run(
        _ command: [String],
        environment: [String: String] = [:],
        user: Int? = nil
    ) async throws -> CommandResult {
        try await runCommand("/usr/bin/env", inside(command, environment, user))
    }

    /// Starts `command` in the Pod, and waits for `marker` in its output.
    ///
    /// - Parameters:
    ///   - command: The program, by its path or as one of PATH, and its arguments.
    ///   - environment: Variables beside those of the test.
    ///   - user: The uid and gid as which it runs; nil is root.
    ///   - marker: A part of a line that says that it is ready.
    /// - Returns: The process, which ends with this value, the network or the test.
    /// - Throws: When it ends before it says that.
    public func start(
        _ command: [String],
        environment: [String: String] = [:],
        user: Int? = nil,
        until marker: String
    ) async throws -> PodProcess {
        PodProcess(
            try await .start(inside(command, environment, user), until: marker)
        )
    }

    /// `command` as one that enters the Pod.
    private func inside(
        _ command: [String],
        _ environment: [String: String],
        _ user: Int?
    ) -> [String] {
        let variables = environment.map { "\($0.key)=\($0.value)" }
        let enter = ["nsenter", "--net=/run/netns/\(namespace)", "--", "env"] + variables
        guard let user else { return enter + command }
        // The program may be where only root may look, such as a cache folder in root's own; and who
        // opens /dev/stdout has to own the pipe.
        let script = #"""
            program=$(command -v "$2") && exec 9<"$program" || exit 127
            user=$1; shift 2
            chown "$user" /dev/stdout /dev/stderr
            exec setpriv --reuid "$user" --regid "$user" --clear-groups -- /proc/self/fd/9 "$@"
            """#
        return enter + ["sh", "-c", script, "sh", "\(user)"] + command
    }
}

/// A process in a Pod, which ends with this object.
public final class PodProcess: Sendable {
    private let process: Mutex<ServerProcess?>
    /// The line of its output that said that it is ready.
    public let line: String

    fileprivate init(_ process: ServerProcess) {
        line = process.line
        self.process = Mutex(process)
    }

    /// Ends it at once.
    public func end() { process.withLock { $0 = nil } }
}

/// What `ip` prints.
@discardableResult
private func ip(_ arguments: [String]) async throws -> String {
    let result = try await runCommand("/usr/bin/env", ["ip"] + arguments)
    guard result.status == 0 else {
        throw NetworkFailed(command: arguments, output: result.output)
    }
    return result.output
}

/// A network for Pods could not be made.
struct NetworkFailed: Error, CustomStringConvertible {
    let command: [String]
    let output: String
    var description: String {
        "ip \(command.joined(separator: " ")): \(output)take root, and install iproute2"
    }
}
