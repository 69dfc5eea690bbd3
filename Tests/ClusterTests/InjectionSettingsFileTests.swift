import Foundation
import MeshAdmission
import Testing

@testable import MeshDaemon

/// What becomes of the file of `--injection-settings`.
@Suite struct InjectionSettingsFileTests {
    @Test func `settings that would make Pods which can't start are refused, all at once`() throws {
        let error = #expect(throws: DaemonError.self) {
            try read(
                """
                {"tracing": {"enabled": true, "provider": "x-ray", "samplingRate": 2},
                 "token": {"expirationSeconds": 1}}
                """
            )
        }
        let lines = (error?.description ?? "").split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.allSatisfy { $0.hasPrefix("--injection-settings /") })
        for field in ["region: empty", "tracing.samplingRate", "token.expirationSeconds: 1"] {
            #expect(lines.contains { $0.contains(field) }, "\(lines)")
        }
    }

    @Test func `settings that are right are read, and none are needed`() throws {
        #expect(try read(#"{"region": "eu-west-1"}"#).region == "eu-west-1")
        #expect(try InjectionSettings(at: nil) == InjectionSettings())
    }

    private func read(_ text: String) throws -> InjectionSettings {
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).json")
        try text.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        return try InjectionSettings(at: file.path)
    }
}
