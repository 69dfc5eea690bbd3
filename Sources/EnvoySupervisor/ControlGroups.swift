import Glibc
import MeshModel

/// The control groups of a state directory's proxies: one for each start of an Envoy.
///
/// They are below a folder that is named after the state directory. It is in the daemon's own group, so
/// that whatever limits the daemon limits its proxies with it.
///
/// In a tree of version 2 a group with processes of its own cannot divide controllers among groups
/// below it. Then, where nobody else is in our group, we move into a group `daemon` below it. Else
/// the group above ours has to serve, as it does for a daemon that systemd started in a `daemon` of
/// its own (`Delegate=yes` and `DelegateSubgroup=daemon`; proxies that shall outlive the daemon need
/// `KillMode=process` there, too).
struct ControlGroups: Sendable {
    /// How often a quota is filled up; the kernel's default, and Kubernetes'.
    static let periodMicroseconds = 100_000

    /// The kernel's part, which tests play on folders of their own.
    struct Kernel: Sendable {
        /// Makes a group; returns 0 or an error number.
        var make: @Sendable (_ path: String) -> Int32
        /// Writes a file of a group; returns 0 or an error number.
        var write: @Sendable (_ text: String, _ path: String) -> Int32

        /// This host's.
        static let host = Kernel(
            make: { mkdir($0, 0o755) == 0 ? 0 : errno },
            write: { text, path in
                let file = open(path, O_WRONLY | O_CLOEXEC)
                guard file >= 0 else { return errno }
                let code = Glibc.write(file, text, text.utf8.count) < 0 ? errno : 0
                close(file)
                return code
            }
        )
    }

    /// Why there is no group, as a clause with path and error.
    private struct Problem: Error {
        var text: String
        /// The kernel's error number; 0 for a controller that is not there.
        var code: Int32

        init(_ text: String, code: Int32 = 0) {
            self.text = code == 0 ? text : SystemError(text, code: code).description
            self.code = code
        }
    }

    /// The name of the group into which the daemon moves.
    private static let leaf = "daemon"

    private let kernel: Kernel
    /// The folders above the groups, by controller.
    private(set) var parents: [ControlGroupController: ControlGroupFolder] = [:]
    /// Why a controller cannot be used, as a clause; nil when all can.
    private(set) var problem: String?

    /// Finds what the host offers, and makes the folder above the groups.
    ///
    /// - Parameters:
    ///   - stateDirectory: Whose proxies they are; its hash names the folder.
    ///   - root: What stands before `/proc` and `/sys`; empty for the host's own.
    ///   - kernel: Makes and writes groups.
    init(stateDirectory: String, root: String = "", kernel: Kernel = .host) {
        self.kernel = kernel
        let files = ["cgroup", "mountinfo"].map { name in
            Files.read("\(root)/proc/self/\(name)").map { String(decoding: $0, as: UTF8.self) }
                ?? ""
        }
        let places = ControlGroupPlaces(groups: files[0], mounts: files[1], root: root)
        let name = "heddle-\(hash(stateDirectory))"
        var problems: [String] = []
        for controller in ControlGroupController.allCases {
            guard let place = places.separate[controller] else { continue }
            do throws(Problem) {
                parents[controller] = try makeSeparate(place, controller, name)
            } catch {
                problems.append(error.text)
            }
        }
        let rest = ControlGroupController.allCases.filter { places.separate[$0] == nil }
        if !rest.isEmpty {
            do throws(Problem) {
                guard let place = places.unified else {
                    let text =
                        "no control groups for \(list(rest)) are mounted (/proc/self/mountinfo)"
                    throw Problem(text)
                }
                let (folder, controllers) = try makeUnified(place, rest, name)
                for controller in controllers { parents[controller] = folder }
                let missing = rest.filter { !controllers.contains($0) }
                if !missing.isEmpty { problems.append(Self.missing(missing, in: folder.path)) }
            } catch {
                problems.append(error.text)
            }
        }
        problem = problems.isEmpty ? nil : problems.joined(separator: ", and ")
    }

    // MARK: Groups

    /// Makes the group of a start, with its limits.
    ///
    /// The group is not made where it cannot be: what is missing is in its `problem`. Without a limit
    /// nothing is limited, and the group only counts.
    func make(
        for proxy: ProxyID,
        start: Int,
        _ resources: SidecarResources
    ) -> ControlGroup {
        var group = ControlGroup(problem: problem)
        for parent in Set(parents.values) {
            do throws(Problem) {
                let folder = try make(Self.name(proxy, start), in: parent)
                if parents[.memory] == parent { group.memory = folder }
                if parents[.cpu] == parent { group.cpu = folder }
            } catch {
                group.problem = group.problem ?? error.text
            }
        }
        limit(&group, to: resources)
        return group
    }

    /// Sets the limits of a group; what fails is in its `problem` afterwards.
    func limit(_ group: inout ControlGroup, to resources: SidecarResources) {
        for (controller, folder) in [(.memory, group.memory), (.cpu, group.cpu)]
            as [(ControlGroupController, ControlGroupFolder?)]
        {
            guard let folder else { continue }
            for setting in Setting.settings(controller, folder.version, resources) {
                let path = "\(folder.path)/\(setting.file)"
                let code = kernel.write(setting.value, path)
                if code != 0, setting.isRequired {
                    let text = SystemError("cannot write \(path)", code: code).description
                    group.problem = group.problem ?? text
                }
            }
        }
    }

    /// Removes groups that are empty and that no start in `known` has.
    func removeStale(except known: [ControlGroup]) {
        let kept = Set(known.flatMap(\.folders).map(\.path))
        for parent in Set(parents.values) {
            for name in Files.names(in: parent.path) where name.hasPrefix(Self.prefix) {
                let path = "\(parent.path)/\(name)"
                // The kernel refuses to remove a group with processes.
                if !kept.contains(path) { rmdir(path) }
            }
        }
    }

    /// Removes the folder above the groups if no group is left.
    func removeParents() {
        for parent in Set(parents.values) { rmdir(parent.path) }
    }

    private static let prefix = "proxy-"

    /// The name of a start's group, whatever the proxy is called.
    static func name(_ proxy: ProxyID, _ start: Int) -> String {
        let (namespace, name) = (proxy.workload.namespace, proxy.workload.name)
        let plain = "\(namespace)_\(name)"
        let allowed = namespace + name
        let isSafe =
            plain.utf8.count <= 120
            && allowed.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte)
                    || (0x30...0x39).contains(byte) || byte == 0x2d || byte == 0x2e
            }
        // The name of a namespace has no `/`.
        return "\(prefix)\(isSafe ? plain : hash("\(namespace)/\(name)"))-\(start)"
    }

    /// Makes a group; one of that name in which processes run is another start's.
    private func make(
        _ name: String,
        in parent: ControlGroupFolder
    ) throws(Problem) -> ControlGroupFolder {
        var path = "\(parent.path)/\(name)"
        var number = 1
        while true {
            let code = kernel.make(path)
            if code == 0 { return ControlGroupFolder(path: path, version: parent.version) }
            guard code == EEXIST, number < 100 else {
                throw Problem("cannot make \(path)", code: code)
            }
            // Counters of an old one would be taken for ours.
            if rmdir(path) != 0 {
                number += 1
                path = "\(parent.path)/\(name).\(number)"
            }
        }
    }

    // MARK: The folder above

    private func makeSeparate(
        _ place: ControlGroupPlaces.Place,
        _ controller: ControlGroupController,
        _ name: String
    ) throws(Problem) -> ControlGroupFolder {
        let folder = ControlGroupFolder(path: "\(place.own.path)/\(name)", version: .v1)
        try make(folder.path)
        if controller == .cpu { setWeight(of: folder) }
        return folder
    }

    private func makeUnified(
        _ place: ControlGroupPlaces.Place,
        _ wanted: [ControlGroupController],
        _ name: String
    ) throws(Problem) -> (ControlGroupFolder, [ControlGroupController]) {
        let own = place.own.path
        let isLeaf = own.hasSuffix("/\(Self.leaf)")
        // A `daemon` is a place that was made for us; the groups belong beside it.
        let candidates = isLeaf ? [place.above, own] : [own, place.above]
        var problems: [String] = []
        for candidate in candidates.compactMap(\.self) {
            do throws(Problem) {
                let controllers = try enable(wanted, in: candidate, mayMove: candidate == own)
                let folder = ControlGroupFolder(path: "\(candidate)/\(name)", version: .v2)
                try make(folder.path)
                _ = try enable(controllers, in: folder.path, mayMove: false)
                if controllers.contains(.cpu) { setWeight(of: folder) }
                return (folder, controllers)
            } catch {
                problems.append(error.text)
            }
        }
        throw Problem(problems.joined(separator: ", and "))
    }

    /// Lets groups below `path` use controllers; returns those that there are.
    private func enable(
        _ wanted: [ControlGroupController],
        in path: String,
        mayMove: Bool
    ) throws(Problem) -> [ControlGroupController] {
        let folder = ControlGroupFolder(path: path, version: .v2)
        let offered = folder.text(of: "cgroup.controllers").split { $0 == " " || $0 == "\n" }
        let usable = wanted.filter { offered.contains(Substring($0.rawValue)) }
        guard !usable.isEmpty else { throw Problem(Self.missing(wanted, in: path)) }
        let enabled = folder.text(of: "cgroup.subtree_control").split { $0 == " " || $0 == "\n" }
        let rest = usable.filter { !enabled.contains(Substring($0.rawValue)) }
        guard !rest.isEmpty else { return usable }
        let file = "\(path)/cgroup.subtree_control"
        let text = rest.map { "+\($0.rawValue)" }.joined(separator: " ")
        var code = kernel.write(text, file)
        if code == EBUSY, mayMove, folder.processes == [getpid()] {
            try moveDown(from: path)
            code = kernel.write(text, file)
        }
        guard code == 0 else { throw Problem("cannot write \(file)", code: code) }
        return usable
    }

    /// Moves this process into a group below its own.
    private func moveDown(from path: String) throws(Problem) {
        let leaf = "\(path)/\(Self.leaf)"
        try make(leaf)
        let code = kernel.write("\(getpid())", "\(leaf)/cgroup.procs")
        guard code == 0 else { throw Problem("cannot write \(leaf)/cgroup.procs", code: code) }
    }

    private func make(_ path: String) throws(Problem) {
        let code = kernel.make(path)
        guard code == 0 || code == EEXIST else { throw Problem("cannot make \(path)", code: code) }
    }

    /// All proxies together weigh as much as the processors of this host, as Pods do in Kubernetes.
    ///
    /// Without it all of them would weigh as much as one process beside them.
    private func setWeight(of folder: ControlGroupFolder) {
        let millicores = 1000 * max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let setting = Setting.weight(folder.version, millicores: millicores)
        _ = kernel.write(setting.value, "\(folder.path)/\(setting.file)")
    }

    private static func missing(_ controllers: [ControlGroupController], in path: String) -> String
    {
        "no controller for \(list(controllers)) in \(path)/cgroup.controllers"
    }
}

/// A file of a group, and what is written to it.
private struct Setting {
    var file: String
    var value: String
    /// Whether a limit is not enforced when it cannot be written.
    var isRequired = true

    static func settings(
        _ controller: ControlGroupController,
        _ version: ControlGroupVersion,
        _ resources: SidecarResources
    ) -> [Setting] {
        switch controller {
        case .memory: resources.memoryLimitBytes.map { memory(version, $0) } ?? []
        case .cpu:
            [weight(version, millicores: resources.cpuRequestMillicores)]
                + (resources.cpuLimitMillicores.map { quota(version, $0) } ?? [])
        }
    }

    /// A limit that swapping does not get around, where the host counts swap.
    private static func memory(_ version: ControlGroupVersion, _ bytes: Int) -> [Setting] {
        switch version {
        case .v1:
            [
                Setting(file: "memory.limit_in_bytes", value: "\(bytes)"),
                Setting(file: "memory.memsw.limit_in_bytes", value: "\(bytes)", isRequired: false),
            ]
        case .v2:
            [
                Setting(file: "memory.max", value: "\(bytes)"),
                Setting(file: "memory.swap.max", value: "0", isRequired: false),
                // Half an Envoy serves nobody.
                Setting(file: "memory.oom.group", value: "1", isRequired: false),
            ]
        }
    }

    /// The kernel takes no quota below a millisecond.
    private static func quota(_ version: ControlGroupVersion, _ millicores: Int) -> [Setting] {
        let period = ControlGroups.periodMicroseconds
        let quota = max(1000, millicores * period / 1000)
        switch version {
        case .v1:
            return [
                Setting(file: "cpu.cfs_period_us", value: "\(period)"),
                Setting(file: "cpu.cfs_quota_us", value: "\(quota)"),
            ]
        case .v2: return [Setting(file: "cpu.max", value: "\(quota) \(period)")]
        }
    }

    /// A core weighs what a group weighs by default: 1024 shares, a weight of 100.
    static func weight(_ version: ControlGroupVersion, millicores: Int) -> Setting {
        switch version {
        case .v1:
            let shares = min(max(2, millicores * 1024 / 1000), 262_144)
            return Setting(file: "cpu.shares", value: "\(shares)", isRequired: false)
        case .v2:
            let weight = min(max(1, millicores / 10), 10_000)
            return Setting(file: "cpu.weight", value: "\(weight)", isRequired: false)
        }
    }
}

/// `memory and cpu`.
private func list(_ controllers: [ControlGroupController]) -> String {
    controllers.map(\.rawValue).joined(separator: " and ")
}

/// FNV-1a, 16 digits.
private func hash(_ text: String) -> String {
    let value = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
        (hash ^ UInt64(byte)) &* 0x100_0000_01b3
    }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
