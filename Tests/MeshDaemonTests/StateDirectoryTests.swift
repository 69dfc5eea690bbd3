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
            #expect(state.addresses().isEmpty)
            try state.save(addresses)
        }
        #expect(try StateDirectory(path).addresses() == addresses)
    }
}
