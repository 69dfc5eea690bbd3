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
                == "HEDDLE_ENVOY names /nowhere/envoy, which is no program; correct the path"
        )
    }
}
