import FoundationEssentials
import Glibc
import MeshModel
import MeshPlan

/// Where an Envoy has its files: two of a proxy run at once while one takes over from the other.
enum EnvoySlot: String, CaseIterable, Hashable, Codable, Sendable {
    case first
    case second
    /// Started by hand while no daemon ran.
    case standalone

    /// Where the next one has its files.
    var other: EnvoySlot { self == .first ? .second : .first }
}

/// What of a plan makes an Envoy: a change of it needs another process.
struct EnvoySettings: Hashable, Codable, Sendable {
    var nodeID: String
    var concurrency: Int
    var cpuRequestMillicores: Int
    var memoryRequestBytes: Int
    var cpuLimitMillicores: Int?
    var memoryLimitBytes: Int?

    init(_ plan: ProxyPlan) {
        nodeID = plan.nodeID
        concurrency = plan.concurrency
        cpuRequestMillicores = plan.resources.cpuRequestMillicores
        memoryRequestBytes = plan.resources.memoryRequestBytes
        cpuLimitMillicores = plan.resources.cpuLimitMillicores
        memoryLimitBytes = plan.resources.memoryLimitBytes
    }
}

/// How an Envoy was started.
struct EnvoyStart: Hashable, Codable, Sendable {
    var slot: EnvoySlot
    var adminSocketPath: String
    /// What the paths of its hot restart sockets begin with; nil where they are Envoy's abstract ones.
    var restartSocketPath: String?
    /// What it shares with the Envoys before and after it.
    var baseID: Int
    /// How many it took over from.
    var epoch: Int
    /// By which it proves itself.
    var token: String
    /// Nil when it was started by hand.
    var settings: EnvoySettings?
    /// Of the rest of its command line and its bootstrap, without what differs from start to start.
    var template: Fingerprint
    /// Of the Envoy binary.
    var binary: Fingerprint
}

/// The content of `process.json`: what runs for a proxy, for the next daemon.
struct ProxyRecord: Hashable, Codable, Sendable {
    /// An Envoy that was started, or is about to be.
    struct Envoy: Hashable, Codable, Sendable {
        /// Nil in the moment before its start.
        var identity: ProcessIdentity?
        var start: EnvoyStart
        var isReady = false
        /// In seconds since 1970.
        var startTimeSeconds: Int?
        var version: String?
        /// Where its limits are enforced.
        var controlGroup: ControlGroup?
    }

    /// An application that was started.
    struct Application: Hashable, Codable, Sendable {
        var identity: ProcessIdentity
        /// Of what it was started with.
        var plan: Fingerprint
        var isReady = false
        var startTimeSeconds: Int?
        var restarts = 0
    }

    static let currentFormat = 1

    var format = ProxyRecord.currentFormat
    /// The kernel's number for this boot; start times are of one boot.
    var boot = ProxyRecord.currentBoot
    /// Whose processes these are: a folder may be copied or moved.
    var stateDirectory: String?
    var namespace: String
    var name: String
    /// Two at most, the newest last.
    var envoys: [Envoy] = []
    var application: Application?
    var restarts = 0
    var upgrades = 0
    /// Whether the application need not wait for its proxy any more.
    var wasReady = false

    init(_ proxy: ProxyID) {
        namespace = proxy.workload.namespace
        name = proxy.workload.name
    }

    var proxy: ProxyID { ProxyID(ObjectReference(namespace: namespace, name: name)) }

    static let currentBoot =
        Files.read("/proc/sys/kernel/random/boot_id")
        .map { String(decoding: $0.prefix(36), as: UTF8.self) } ?? ""

    /// The record in a proxy's folder, if it is of this boot and we can read its format.
    static func read(_ folder: String) -> ProxyRecord? { try? load(folder) }

    /// The record in a proxy's folder; nil when there is none of this boot.
    ///
    /// Throws why one that is there cannot be read.
    static func load(_ folder: String) throws(Unreadable) -> ProxyRecord? {
        let path = "\(folder)/process.json"
        guard access(path, F_OK) == 0 else { return nil }
        guard let bytes = Files.read(path) else {
            throw Unreadable(description: SystemError.text(errno))
        }
        let data = Data(bytes)
        guard let head = try? JSONDecoder().decode(Head.self, from: data) else {
            throw Unreadable(description: "it is no record of processes")
        }
        guard head.boot == currentBoot else { return nil }
        guard head.format == currentFormat else {
            throw Unreadable(description: "its format \(head.format) is not \(currentFormat)")
        }
        guard let record = try? JSONDecoder().decode(ProxyRecord.self, from: data) else {
            throw Unreadable(description: "a field is missing or wrong")
        }
        guard record.isPlausible else {
            throw Unreadable(description: "a number in it is out of its range")
        }
        return record
    }

    /// Why a record cannot be read.
    struct Unreadable: Error, CustomStringConvertible {
        var description: String
    }

    /// What tells whether the rest can be read and is worth it.
    private struct Head: Decodable {
        var format: Int
        var boot: String
    }
}

// What another version of Heddle did not write has the value that it began with.
extension ProxyRecord {
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        namespace = try container.decode(String.self, forKey: .namespace)
        name = try container.decode(String.self, forKey: .name)
        format = try container.decode(Int.self, forKey: .format)
        boot = try container.decode(String.self, forKey: .boot)
        stateDirectory = try container.decodeIfPresent(String.self, forKey: .stateDirectory)
        envoys = try container.decodeIfPresent([Envoy].self, forKey: .envoys) ?? []
        application = try container.decodeIfPresent(Application.self, forKey: .application)
        restarts = try container.decodeIfPresent(Int.self, forKey: .restarts) ?? 0
        upgrades = try container.decodeIfPresent(Int.self, forKey: .upgrades) ?? 0
        wasReady = try container.decodeIfPresent(Bool.self, forKey: .wasReady) ?? false
    }
}

extension ProxyRecord.Envoy {
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        identity = try container.decodeIfPresent(ProcessIdentity.self, forKey: .identity)
        start = try container.decode(EnvoyStart.self, forKey: .start)
        isReady = try container.decodeIfPresent(Bool.self, forKey: .isReady) ?? false
        startTimeSeconds = try container.decodeIfPresent(Int.self, forKey: .startTimeSeconds)
        version = try container.decodeIfPresent(String.self, forKey: .version)
        // Without it limits are enforced as before, and not shown.
        controlGroup = try? container.decodeIfPresent(ControlGroup.self, forKey: .controlGroup)
    }
}

extension ProxyRecord.Application {
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        identity = try container.decode(ProcessIdentity.self, forKey: .identity)
        plan = try container.decode(Fingerprint.self, forKey: .plan)
        isReady = try container.decodeIfPresent(Bool.self, forKey: .isReady) ?? false
        startTimeSeconds = try container.decodeIfPresent(Int.self, forKey: .startTimeSeconds)
        restarts = try container.decodeIfPresent(Int.self, forKey: .restarts) ?? 0
    }
}

extension EnvoyStart {
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        slot = try container.decode(EnvoySlot.self, forKey: .slot)
        adminSocketPath = try container.decode(String.self, forKey: .adminSocketPath)
        restartSocketPath = try container.decodeIfPresent(String.self, forKey: .restartSocketPath)
        baseID = try container.decode(Int.self, forKey: .baseID)
        epoch = try container.decode(Int.self, forKey: .epoch)
        token = try container.decode(String.self, forKey: .token)
        // Settings of another version are others, so that an Envoy of now takes over.
        settings = try? container.decodeIfPresent(EnvoySettings.self, forKey: .settings)
        template = try container.decode(Fingerprint.self, forKey: .template)
        binary = try container.decode(Fingerprint.self, forKey: .binary)
    }
}

/// A short value that differs where contents differ; the same in every run of Heddle.
struct Fingerprint: Hashable, Codable, Sendable {
    /// 16 hexadecimal digits.
    private(set) var digits: String

    /// FNV-1a.
    init(_ parts: some Sequence<some Sequence<UInt8>>) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for part in parts {
            for byte in part { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            // Between "ab", "c" and "a", "bc".
            hash = (hash ^ 0x1FF) &* 0x100_0000_01b3
        }
        digits = hexadecimal(hash)
    }

    init(_ texts: [String]) { self.init(texts.map(\.utf8)) }

    init(from decoder: any Decoder) throws {
        digits = try decoder.singleValueContainer().decode(String.self)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(digits)
    }

    /// Which file `path` is: links are followed, and a file that took its place is another.
    init(fileAt path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            self.init([path])
            return
        }
        self.init([
            "\(status.st_dev) \(status.st_ino) \(status.st_size)",
            "\(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)",
        ])
    }
}

extension ApplicationPlan {
    /// Differs where it has to be started anew.
    var fingerprint: Fingerprint {
        let variables = environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return Fingerprint(
            command + ["", workingDirectory ?? "", address] + ports.map(\.description) + variables
        )
    }
}

/// 16 digits.
func hexadecimal(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

extension ProxyRecord {
    /// Whether it can be reckoned with.
    fileprivate var isPlausible: Bool {
        let counts = 0..<1_000_000_000
        let starts = envoys.map(\.startTimeSeconds) + [application?.startTimeSeconds]
        return envoys.count <= 3 && counts.contains(restarts) && counts.contains(upgrades)
            && counts.contains(application?.restarts ?? 0)
            && envoys.allSatisfy {
                counts.contains($0.start.epoch) && (0...Int(UInt32.max)).contains($0.start.baseID)
            }
            && starts.allSatisfy { (0...1 << 40).contains($0 ?? 0) }
    }
}
