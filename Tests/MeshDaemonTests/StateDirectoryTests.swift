import Foundation
import MeshModel
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

    @Test func `a path that is too long for sockets is refused`() throws {
        let deep = path + "/" + String(repeating: "x", count: 80)
        let error = #expect(throws: DaemonError.self) { try StateDirectory(deep) }
        #expect(error?.description.hasSuffix("pass a shorter --state-dir") == true)
    }
}
