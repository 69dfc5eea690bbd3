import Foundation
import MeshModel
import Synchronization
import Testing

@testable import EnvoySupervisor

/// A tree of version 2 in ordinary folders, with the kernel's rules as far as the daemon meets them.
private final class UnifiedTree: Sendable {
    let root = Harness.newFolder()
    /// Groups that we may not change, by path below the root.
    private let forbidden: Set<String>

    init(own: String, controllers: String = "cpu memory pids", forbidden: Set<String> = []) throws {
        self.forbidden = forbidden
        try FileManager.default.createDirectory(
            atPath: "\(root)/proc/self",
            withIntermediateDirectories: true
        )
        try write("0::\(own)\n", "/proc/self/cgroup")
        try write(
            "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "/proc/self/mountinfo"
        )
        var path = "/sys/fs/cgroup"
        for name in [""] + own.split(separator: "/").map(String.init) {
            path += name.isEmpty ? "" : "/\(name)"
            try FileManager.default.createDirectory(
                atPath: root + path,
                withIntermediateDirectories: true
            )
            try addFiles(path, controllers: controllers)
            if path != "/sys/fs/cgroup\(own)" { try write(controllers, "\(path)/\(Self.divided)") }
        }
        try write("\(getpid())\n", "/sys/fs/cgroup\(own)/cgroup.procs")
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    private static let divided = "cgroup.subtree_control"

    func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: root + path))
    }

    func read(_ path: String) -> String {
        (try? String(contentsOfFile: "\(root)/sys/fs/cgroup\(path)", encoding: .utf8)) ?? "none"
    }

    private func addFiles(_ path: String, controllers: String) throws {
        try write(controllers, "\(path)/cgroup.controllers")
        try write("", "\(path)/\(Self.divided)")
        try write("", "\(path)/cgroup.procs")
        guard controllers.contains("memory") else { return }
        for file in ["memory.max", "memory.swap.max", "memory.oom.group"] {
            try write("max", "\(path)/\(file)")
        }
        try write("low 0\noom 2\noom_kill 3\noom_group_kill 1\n", "\(path)/memory.events")
        try write("1048576\n", "\(path)/memory.current")
        try write("2097152\n", "\(path)/memory.peak")
        guard controllers.contains("cpu") else { return }
        try write("max 100000", "\(path)/cpu.max")
        try write("100", "\(path)/cpu.weight")
        let stat = "usage_usec 9\nnr_periods 50\nnr_throttled 20\nthrottled_usec 1500000\n"
        try write(stat, "\(path)/cpu.stat")
    }

    var kernel: ControlGroups.Kernel {
        ControlGroups.Kernel(make: { self.make($0) }, write: { self.write($0, at: $1) })
    }

    private func parent(of path: String) -> String { (path as NSString).deletingLastPathComponent }

    private func isForbidden(_ folder: String) -> Bool {
        forbidden.contains(String(folder.dropFirst("\(root)/sys/fs/cgroup".count)))
    }

    private func make(_ path: String) -> Int32 {
        let above = parent(of: path)
        if FileManager.default.fileExists(atPath: path) { return EEXIST }
        if isForbidden(above) { return EACCES }
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: false
            )
            // A group has the controllers that the one above divides.
            let divided = try String(contentsOfFile: "\(above)/\(Self.divided)", encoding: .utf8)
            try addFiles(String(path.dropFirst(root.count)), controllers: divided)
            return 0
        } catch {
            return EIO
        }
    }

    private func write(_ text: String, at path: String) -> Int32 {
        let folder = parent(of: path)
        guard FileManager.default.fileExists(atPath: path) else { return ENOENT }
        if isForbidden(folder) { return EACCES }
        do {
            switch (path as NSString).lastPathComponent {
            case Self.divided:
                let processes = try String(
                    contentsOfFile: "\(folder)/cgroup.procs",
                    encoding: .utf8
                )
                if !processes.isEmpty { return EBUSY }
                let enabled = text.replacingOccurrences(of: "+", with: "")
                try Data(enabled.utf8).write(to: URL(fileURLWithPath: path))
            case "cgroup.procs":
                try Data("".utf8).write(
                    to: URL(fileURLWithPath: "\(parent(of: folder))/cgroup.procs")
                )
                try Data("\(text)\n".utf8).write(to: URL(fileURLWithPath: path))
            default: try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            }
            return 0
        } catch {
            return EIO
        }
    }
}

struct UnifiedControlGroupTests {
    private let proxy = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let limited = SidecarResources(
        cpuRequestMillicores: 250,
        cpuLimitMillicores: 500,
        memoryLimitBytes: 128 << 20
    )

    private func groups(_ tree: UnifiedTree) -> ControlGroups {
        ControlGroups(stateDirectory: "/state", root: tree.root, kernel: tree.kernel)
    }

    /// The path of a group's folder below the tree's top.
    private func place(_ group: ControlGroup, _ tree: UnifiedTree) throws -> String {
        String(try #require(group.memory).path.dropFirst("\(tree.root)/sys/fs/cgroup".count))
    }

    @Test func `a daemon that is alone moves down and divides its own group`() throws {
        let tree = try UnifiedTree(own: "/system.slice/heddle.service")
        let group = groups(tree).make(for: proxy, start: 3, limited)
        #expect(group.enforcement == .controlGroup)
        #expect(group.memory == group.cpu && group.folders.count == 1)
        let path = try place(group, tree)
        #expect(path.hasPrefix("/system.slice/heddle.service/heddle-"))
        #expect(path.hasSuffix("/proxy-demo_blue-3"))
        #expect(tree.read("\(path)/memory.max") == "\(128 << 20)")
        #expect(tree.read("\(path)/memory.swap.max") == "0")
        #expect(tree.read("\(path)/memory.oom.group") == "1")
        #expect(tree.read("\(path)/cpu.max") == "50000 100000")
        #expect(tree.read("\(path)/cpu.weight") == "25")
        #expect(tree.read("/system.slice/heddle.service/daemon/cgroup.procs") == "\(getpid())\n")
    }

    @Test func `without limits nothing is limited`() throws {
        let tree = try UnifiedTree(own: "/a")
        let group = groups(tree).make(for: proxy, start: 1, SidecarResources())
        let path = try place(group, tree)
        #expect(group.enforcement == .controlGroup)
        #expect(tree.read("\(path)/memory.max") == "max")
        #expect(tree.read("\(path)/cpu.max") == "max 100000")
    }

    @Test func `where others are in our group the one above serves`() throws {
        let tree = try UnifiedTree(own: "/user.slice/session.scope")
        try tree.write("1\n\(getpid())\n", "/sys/fs/cgroup/user.slice/session.scope/cgroup.procs")
        let group = groups(tree).make(for: proxy, start: 1, limited)
        #expect(group.enforcement == .controlGroup)
        let path = try place(group, tree)
        #expect(path.hasPrefix("/user.slice/heddle-"))
        #expect(
            tree.read("/user.slice/session.scope/cgroup.procs") == "1\n\(getpid())\n",
            "nobody was moved"
        )
    }

    @Test func `a daemon in a group of that name has its proxies beside it`() throws {
        let tree = try UnifiedTree(own: "/system.slice/heddle.service/daemon")
        let group = groups(tree).make(for: proxy, start: 1, limited)
        let path = try place(group, tree)
        #expect(path.hasPrefix("/system.slice/heddle.service/heddle-"))
    }

    @Test func `where nothing may be written the reason names both places`() throws {
        let tree = try UnifiedTree(
            own: "/user.slice/session.scope",
            forbidden: ["/user.slice/session.scope", "/user.slice"]
        )
        let group = groups(tree).make(for: proxy, start: 1, limited)
        let top = "\(tree.root)/sys/fs/cgroup/user.slice"
        guard case .proxyOnly(let reason) = group.enforcement else {
            Issue.record("a group was made: \(group)")
            return
        }
        #expect(
            reason.hasPrefix(
                "cannot write \(top)/session.scope/cgroup.subtree_control: permission denied, "
                    + "and cannot make \(top)/heddle-"
            )
        )
        #expect(reason.hasSuffix(": permission denied"))
        #expect(group.folders.isEmpty)
    }

    @Test func `a missing controller is a reason, and the other one is used`() throws {
        let tree = try UnifiedTree(own: "/a", controllers: "memory pids")
        let group = groups(tree).make(for: proxy, start: 1, limited)
        let path = try place(group, tree)
        #expect(tree.read("\(path)/memory.max") == "\(128 << 20)")
        #expect(group.cpu == nil)
        let top = (path as NSString).deletingLastPathComponent
        #expect(
            group.enforcement
                == .proxyOnly(
                    reason: "no controller for cpu in "
                        + "\(tree.root)/sys/fs/cgroup\(top)/cgroup.controllers"
                )
        )
    }

    @Test func `a host without control groups says so`() throws {
        let root = Harness.newFolder()
        let groups = ControlGroups(stateDirectory: "/state", root: root)
        #expect(
            groups.problem
                == "no control groups for memory and cpu are mounted (/proc/self/mountinfo)"
        )
    }

    @Test func `what the kernel did is read`() throws {
        let tree = try UnifiedTree(own: "/a")
        let evidence = groups(tree).make(for: proxy, start: 1, limited).evidence
        #expect(evidence.outOfMemoryKills == 3)
        #expect(evidence.memoryBytes == 1 << 20 && evidence.peakMemoryBytes == 2 << 20)
        #expect(evidence.throttledSeconds == 1.5 && evidence.throttledPeriods == 20)
    }
}
