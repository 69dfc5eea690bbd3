import Foundation
import Testing

@testable import MeshDaemon

@Suite struct EnvoyBinaryTests {
    @Test(arguments: [
        ("envoy  version: 9e55809/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0"),
        ("envoy  version: 9e55809/1.41.0-dev/Modified/DEBUG/BoringSSL\n", "1.41.0"),
        ("/py/3.11.7/bin/envoy  version: 9e55809/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0"),
        ("command not found\n", nil),
    ])
    func `Envoy says its version`(output: String, version: String?) {
        #expect(EnvoyBinary.version(in: output) == version)
    }

    @Test(arguments: [
        ("1.34.0", false), ("1.35.10", false), ("1.36.0", true), ("1.40.0", true),
        ("2.0.0", true),
    ])
    func `gRPC is checked for all callers from 1.36 on`(version: String, can: Bool) {
        #expect(EnvoyBinary(path: "/envoy", version: version).probesGRPC == can)
    }

    @Test func `a path that is no program is named with its source`() {
        let error = #expect(throws: DaemonError.self) {
            try EnvoyBinary.find(option: nil, environment: ["HEDDLE_ENVOY": "/nowhere/envoy"])
        }
        #expect(
            error?.description
                == "HEDDLE_ENVOY names /nowhere/envoy, which does not exist; correct the path"
        )
    }

    @Test(arguments: [
        ("#!/bin/sh\necho hello\n", "is no Envoy: it does not say which version it is"),
        ("#!/bin/sh\nexit 3\n", "is no Envoy that runs: it ends with status 3"),
        ("#!/bin/sh\nkill -9 $$\n", "does not run: it ends by signal 9"),
        ("#!/nowhere/sh\n", "cannot run PATH: no such file or directory"),
        ("neither\n", "cannot run PATH: exec format error"),
        (
            "#!/bin/sh\necho 'envoy  version: abc/1.33.9/Clean/RELEASE/BoringSSL'\n",
            "is Envoy 1.33.9, and 1.34 is the oldest that works"
        ),
    ])
    func `a program that is no Envoy that works is refused with the reason`(
        text: String,
        reason: String
    ) throws {
        let path = "/tmp/heddle-envoy-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let unready = #expect(throws: DaemonError.self) {
            try EnvoyBinary.find(option: path, environment: [:])
        }
        #expect(
            unready?.description
                == "--envoy names \(path), which is not executable; make it so with "
                + "chmod +x"
        )
        chmod(path, 0o700)
        let error = #expect(throws: DaemonError.self) {
            try EnvoyBinary.find(option: path, environment: [:])
        }
        let expected = reason.replacing("PATH", with: path)
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("with --envoy") == true)
    }

    @Test func `an Envoy for another machine is refused with that machine's name`() throws {
        let path = "/tmp/heddle-envoy-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var header = [UInt8](
            try Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe")).prefix(64)
        )
        let isArm = header[18] == 183
        header[18] = isArm ? 62 : 183
        try Data(header).write(to: URL(fileURLWithPath: path))
        chmod(path, 0o700)
        let error = #expect(throws: DaemonError.self) {
            try EnvoyBinary.find(option: path, environment: [:])
        }
        #expect(
            error?.description == "\(path) does not run here: it is built for "
                + "\(isArm ? "x86_64" : "aarch64"); pass an Envoy for this machine with --envoy"
        )
    }

    @Test func `a folder is no program`() {
        let error = #expect(throws: DaemonError.self) {
            try EnvoyBinary.find(option: "/tmp", environment: [:])
        }
        #expect(error?.description == "--envoy names /tmp, which is a folder; correct the path")
    }
}
