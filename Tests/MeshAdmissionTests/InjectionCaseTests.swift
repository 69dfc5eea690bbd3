import Foundation
import MeshAdmission
import MeshModel
import MeshTesting
import Testing

/// A file `Cases/<name>.json`: the settings, a Pod as it is sent, and the Pod as it is stored.
struct InjectionCase: Sendable, CustomTestStringConvertible {
    var name: String
    var testDescription: String { name }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Cases")

    static let all: [InjectionCase] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
        return files.filter { $0.hasSuffix(".in.json") }.sorted()
            .map { InjectionCase(name: String($0.dropLast(".in.json".count))) }
    }()

    func read(_ suffix: String) throws -> JSONValue {
        let file = Self.root.appendingPathComponent("\(name).\(suffix).json")
        return try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: file))
    }

    func write(_ value: JSONValue) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let file = Self.root.appendingPathComponent("\(name).out.json")
        try (encoder.encode(value) + Data("\n".utf8)).write(to: file)
    }
}

@Suite struct InjectionCaseTests {
    @Test func `there is a case for every annotation`() throws {
        let annotations = [
            "sidecarInjectorWebhook", "cpuRequest", "memoryRequest", "cpuLimit", "memoryLimit",
            "ports", "egressIgnoredIPs", "egressIgnoredPorts", "ipv6", "appmeshCNI", "secretMounts",
            "volumeMounts", "sidecarEnv", "sidecarEnvJson", "sds", "xrayAgentConfigMount",
            "virtualGatewaySkipImageOverride", "preview",
        ]
        let texts = try InjectionCase.all.map { "\(try $0.read("in"))" }
        for annotation in annotations {
            #expect(
                texts.contains { $0.contains("appmesh.k8s.aws/\(annotation)") },
                "no case has \(annotation)"
            )
        }
    }

    @Test(arguments: InjectionCase.all)
    func `a Pod is injected as its file says`(injection: InjectionCase) throws {
        let input = try injection.read("in")
        let encoded = try JSONEncoder().encode(input["settings"] ?? [:])
        var settings = try JSONDecoder().decode(InjectionSettings.self, from: encoded)
        if settings.kubernetesVersion.isEmpty { settings.kubernetesVersion = "v1.33.1" }
        let sent = try #require(input["pod"])
        let outcome = try inject(sent, settings)
        var result: JSONValue = [:]
        if let refusal = outcome.refusal {
            result["refusal"] = .string(refusal)
        } else {
            result["pod"] = outcome.object
        }
        if !outcome.verdict.warnings.isEmpty {
            result["warnings"] = .array(outcome.verdict.warnings.map { .string($0) })
        }
        if ProcessInfo.processInfo.environment["HEDDLE_UPDATE_GOLDEN"] == "1" {
            try injection.write(result)
        }
        #expect(result == (try injection.read("out")))
        guard outcome.refusal == nil else { return }
        let again = try inject(outcome.object, settings)
        #expect(again.operationCount == 0, "asked again, nothing changes")
        #expect(again.refusal == nil)
    }
}
