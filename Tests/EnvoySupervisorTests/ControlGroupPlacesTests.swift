import Foundation
import MeshModel
import Testing

@testable import EnvoySupervisor

/// Where `/proc` says that we are.
struct ControlGroupPlacesTests {
    private static let v2Mount =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"

    @Test func `separate trees have each controller below our own group`() {
        let places = ControlGroupPlaces(
            groups: "4:memory:/process_api/61bc\n2:cpuacct:/\n1:cpu:/\n0::/\n",
            mounts: """
                31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
                32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
                35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
                41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
                """,
            root: ""
        )
        #expect(
            places.separate.mapValues(\.own.path)
                == [
                    .memory: "/sys/fs/cgroup/memory/process_api/61bc", .cpu: "/sys/fs/cgroup/cpu",
                ]
        )
        #expect(places.unified?.own.path == "/sys/fs/cgroup/unified")
    }

    @Test func `two controllers may share a tree, and a folder may have a space`() {
        let places = ControlGroupPlaces(
            groups: "4:cpu,cpuacct:/user.slice\n",
            mounts: #"3 1 0:2 / /sys/fs/c\040group rw - cgroup cgroup rw,cpu,cpuacct"#,
            root: ""
        )
        #expect(places.separate[.cpu]?.own.path == "/sys/fs/c group/user.slice")
        #expect(places.separate[.memory] == nil)
    }

    @Test(arguments: [
        // The mount shows the container's own group.
        ("/docker/1f", "/docker/1f", "/sys/fs/cgroup/memory", false),
        ("/docker/1f/a", "/docker/1f", "/sys/fs/cgroup/memory/a", true),
        // The mount shows another group.
        ("/docker/1f", "/docker/1", "/sys/fs/cgroup/memory", false),
        ("/../../x", "/", "/sys/fs/cgroup/memory", false),
        ("/a/b", "/", "/sys/fs/cgroup/memory/a/b", true),
    ])
    func `in a container our group is found below what is mounted`(
        path: String,
        mounted: String,
        expected: String,
        hasAbove: Bool
    ) {
        let places = ControlGroupPlaces(
            groups: "4:memory:\(path)\n",
            mounts: "3 1 0:2 \(mounted) /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            root: ""
        )
        #expect(places.separate[.memory]?.own.path == expected)
        #expect((places.separate[.memory]?.above != nil) == hasAbove)
    }

    @Test func `one tree for all is found, with the group above ours`() {
        let places = ControlGroupPlaces(
            groups: "0::/user.slice/app.scope\n",
            mounts: Self.v2Mount,
            root: "/test"
        )
        #expect(places.separate.isEmpty)
        #expect(places.unified?.own.path == "/test/sys/fs/cgroup/user.slice/app.scope")
        #expect(places.unified?.above == "/test/sys/fs/cgroup/user.slice")
    }

    @Test func `a host without control groups has no places`() {
        let places = ControlGroupPlaces(groups: "", mounts: "garbage\n1 2 3 - x", root: "")
        #expect(places.separate.isEmpty && places.unified == nil)
    }

    @Test(arguments: [
        ("demo", "blue", "proxy-demo_blue-7"),
        ("a_b", "c", nil),
        ("..", "../..", nil),
        ("demo", "", nil),
        ("demo", String(repeating: "x", count: 300), nil),
        ("demo", "ö/\n", nil),
    ])
    func `no name leaves the folder of groups`(
        namespace: String,
        name: String,
        expected: String?
    ) {
        let proxy = ProxyID(ObjectReference(namespace: namespace, name: name))
        let group = ControlGroups.name(proxy, 7)
        #expect(group.hasPrefix("proxy-") && group.hasSuffix("-7") && group.utf8.count < 140)
        #expect(!group.contains("/") && !group.contains("\n"))
        if let expected { #expect(group == expected) }
        let other = ProxyID(ObjectReference(namespace: "\(namespace)_", name: name))
        #expect(ControlGroups.name(other, 7) != group)
    }
}
