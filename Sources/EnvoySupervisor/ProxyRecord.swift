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
    static func read(_ folder: String) -> ProxyRecord? {
        guard let bytes = Files.read("\(folder)/process.json"),
            let record = try? JSONDecoder().decode(ProxyRecord.self, from: Data(bytes)),
            record.boot == currentBoot, record.format == currentFormat
        else { return nil }
        return record
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
