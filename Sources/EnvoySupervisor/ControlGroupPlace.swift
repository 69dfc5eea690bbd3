/// Where our own process is in the trees of control groups, as `/proc` tells.
struct ControlGroupPlaces: Hashable, Sendable {
    /// Our group in one tree.
    struct Place: Hashable, Sendable {
        /// Our group.
        var own: ControlGroupFolder
        /// The group above it; nil where ours is the highest that is to be seen.
        var above: String?
    }

    /// Trees of version 1, by controller.
    var separate: [ControlGroupController: Place] = [:]
    /// The tree of version 2.
    var unified: Place?

    /// Reads `/proc/self/cgroup` and `/proc/self/mountinfo`.
    ///
    /// On a hybrid host version 1 has some controllers, and version 2 has the others, mounted at
    /// another place.
    ///
    /// - Parameters:
    ///   - groups: Lines such as `4:memory:/user.slice` and `0::/user.slice`.
    ///   - mounts: Lines such as `35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`.
    ///   - root: What stands before each path; empty for the host's own.
    init(groups: String, mounts: String, root: String) {
        var paths: [Substring: String] = [:]
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",", omittingEmptySubsequences: false)
            for controller in controllers { paths[controller] = String(fields[2]) }
        }
        for line in mounts.split(separator: "\n") {
            guard let mount = Mount(line) else { continue }
            switch mount.type {
            case "cgroup2":
                guard unified == nil, let path = paths[""] else { continue }
                unified = mount.place(of: path, .v2, root)
            case "cgroup":
                for controller in ControlGroupController.allCases
                where mount.options.contains(Substring(controller.rawValue)) {
                    guard separate[controller] == nil,
                        let path = paths[Substring(controller.rawValue)]
                    else { continue }
                    separate[controller] = mount.place(of: path, .v1, root)
                }
            default: continue
            }
        }
    }

    /// One line of `/proc/self/mountinfo`.
    private struct Mount {
        /// The group that is mounted: in a container, its own.
        var group: String
        var point: String
        var type: Substring
        var options: [Substring]

        init?(_ line: Substring) {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 5, fields.count > dash + 3 else {
                return nil
            }
            group = Self.unescaped(fields[3])
            point = Self.unescaped(fields[4])
            type = fields[dash + 1]
            options = fields[dash + 3].split(separator: ",")
        }

        func place(of path: String, _ version: ControlGroupVersion, _ root: String) -> Place {
            var rest = Substring(path)
            if group != "/" {
                // A group outside of what is mounted is not to be seen; the highest that is serves.
                let isInside = path == group || path.hasPrefix(group + "/")
                rest = isInside ? path.dropFirst(group.count) : ""
            }
            if rest == "/" || rest.hasPrefix("/..") { rest = "" }
            let folder = "\(root)\(point)\(rest)"
            return Place(
                own: ControlGroupFolder(path: folder, version: version),
                above: rest.isEmpty
                    ? nil : String(folder[..<(folder.lastIndex(of: "/") ?? folder.endIndex)])
            )
        }

        /// The kernel writes a space as `\040`.
        private static func unescaped(_ field: Substring) -> String {
            guard field.contains("\\") else { return String(field) }
            var bytes: [UInt8] = []
            var rest = Array(field.utf8)[...]
            while let byte = rest.popFirst() {
                if byte == UInt8(ascii: "\\"), rest.count >= 3,
                    let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
                {
                    bytes.append(code)
                    rest = rest.dropFirst(3)
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}
