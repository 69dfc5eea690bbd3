import Foundation
import Logging
import MeshModel
import Synchronization
import Testing

@testable import MeshDaemon

@Suite struct StateDirectoryTests {
    private let path = "/tmp/heddle-state-\(UInt64.random(in: 0...UInt64.max))"

    @Test func `a state directory has one daemon`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let first = try StateDirectory(path)
        let error = #expect(throws: DaemonError.self) { try StateDirectory(path) }
        #expect(
            error?.description == "another heddle (pid \(getpid())) runs on the state directory "
                + "\(path); stop it or pass another --state-dir"
        )
        withExtendedLifetime(first) {}
    }

    @Test func `addresses outlive the daemon`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
        let addresses = [proxy: ProxyAddresses(ingress: "127.66.0.7", egress: "127.67.0.7")]
        do {
            let state = try StateDirectory(path)
            #expect(try state.addresses().isEmpty)
            try state.save(addresses)
        }
        #expect(try StateDirectory(path).addresses() == addresses)
    }

    @Test func `a table of addresses that is broken is not taken for an empty one`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let state = try StateDirectory(path)
        try Data("[".utf8).write(to: URL(fileURLWithPath: "\(path)/addresses.json"))
        #expect(throws: DaemonError.self) { try state.addresses() }
    }

    @Test func `a file in the directory's place is said`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data().write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: DaemonError.self) { try StateDirectory(path) }
        #expect(
            error?.description == "cannot use the state directory \(path): a file is in its place; "
                + "remove it or pass another --state-dir"
        )
        let below = #expect(throws: DaemonError.self) { try StateDirectory("\(path)/state") }
        #expect(
            below?.description == "cannot use the state directory \(path)/state: not a directory; "
                + "pass another --state-dir"
        )
    }

    @Test func `a directory where nobody may write is said with the system's reason`() {
        let error = #expect(throws: DaemonError.self) { try StateDirectory("/proc/heddle") }
        #expect(
            error?.description == "cannot make the state directory /proc/heddle: no such file or "
                + "directory; pass another --state-dir"
        )
    }

    @Test func `a directory of a newer heddle is refused and left as it is`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = try StateDirectory(path)
        let file = URL(fileURLWithPath: "\(path)/version")
        #expect(try String(contentsOf: file, encoding: .utf8) == "1\n")
        try Data("2\n".utf8).write(to: file)
        let error = #expect(throws: DaemonError.self) { try StateDirectory(path) }
        #expect(
            error?.description
                == "the state directory \(path) is of version 2, and this heddle knows "
                + "up to 1; run the heddle that wrote it, or pass another --state-dir"
        )
        #expect(try String(contentsOf: file, encoding: .utf8) == "2\n")
        try Data("new\n".utf8).write(to: file)
        #expect(throws: DaemonError.self) { try StateDirectory(path) }
        // Directories from before there was a version are of the first.
        try FileManager.default.removeItem(at: file)
        _ = try StateDirectory(path)
    }

    @Test func `a directory that was removed or replaced is noticed`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let state = try StateDirectory(path)
        #expect(state.isInPlace)
        try FileManager.default.removeItem(atPath: path)
        #expect(!state.isInPlace)
        let next = try StateDirectory(path)
        #expect(next.isInPlace)
        #expect(!state.isInPlace)
    }

    @Test func `a path that is too long for sockets is refused`() throws {
        let deep = path + "/" + String(repeating: "x", count: 80)
        let error = #expect(throws: DaemonError.self) { try StateDirectory(deep) }
        #expect(error?.description.hasSuffix("pass a shorter --state-dir") == true)
    }
}

@Suite struct StorageWarningsTests {
    @Test func `a reason is told once, and its end`() {
        let log = Lines()
        let warnings = StorageWarnings()
        let start = ContinuousClock.now
        func attempt(_ seconds: Int, _ error: DaemonError?) -> Bool {
            warnings.attempt("addresses", at: start + .seconds(seconds), log.logger) {
                if let error { throw error }
            }
        }
        let full = DaemonError("no space left on device")
        #expect(attempt(0, nil))
        #expect(log.all.isEmpty)
        for second in 1...60 { #expect(!attempt(second, full)) }
        #expect(log.all == ["warning not saved: no space left on device"])
        #expect(!attempt(70, DaemonError("read-only file system")))
        #expect(log.all.last == "warning not saved: read-only file system")
        // Nobody is asked again at once.
        #expect(!attempt(71, nil))
        #expect(attempt(80, nil))
        #expect(log.all.last == "notice saved again")
        #expect(attempt(81, nil))
        #expect(log.all.count == 3)
    }
}

/// The lines of a log.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let error = event.metadata?["error"].map { ": \($0)" } ?? ""
            lines.lines.withLock { $0.append("\(event.level) \(event.message)\(error)") }
        }
    }
}
