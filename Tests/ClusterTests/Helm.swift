import Foundation
import MeshModel
import MeshTesting
import Yams

/// Helm, or the part of it that `.ci/install-helm` installs.
enum Helm {
    /// Why a test that needs Helm cannot run.
    struct Missing: Error, CustomStringConvertible {
        let description =
            "no helm found; set HEDDLE_HELM to its path, or to what .ci/install-helm prints"
    }

    /// Helm failed.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// `HEDDLE_HELM`, else one of PATH.
    private static let path: String? = {
        let environment = ProcessInfo.processInfo.environment
        if let given = environment["HEDDLE_HELM"], !given.isEmpty { return given }
        let folders = environment["PATH"]?.split(separator: ":").map(String.init) ?? []
        return folders.map { "\($0)/helm" }.first(where: FileManager.default.isExecutableFile)
    }()

    /// Whether tests that need Helm run: where there is one, or `HEDDLE_REQUIRE_HELM=1` asks for it.
    static var isExpected: Bool {
        path != nil || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_HELM"] == "1"
    }

    static let chart = packageFolder.appending(path: "Charts/heddle").path

    /// Runs Helm, and gives what it prints.
    ///
    /// - Throws: `Failure` with what it says of its failure.
    @discardableResult
    static func run(_ arguments: [String]) async throws -> String {
        guard let path else { throw Missing() }
        let errors = newFile("helm.err")
        defer { try? FileManager.default.removeItem(at: errors) }
        let command = ["-c", #"exec "$@" 2>"$0""#, errors.path, path]
        let result = try await runCommand("/bin/sh", command + arguments)
        guard result.status == 0 else {
            let said = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
            throw Failure(description: result.output + said)
        }
        return result.output
    }

    /// Runs a verb for the chart with these files of values, the later ones before the earlier, in the
    /// namespace `heddle-system` by default.
    @discardableResult
    static func chart(
        _ verb: String,
        values: [String] = [ChartValues.image],
        namespace: String = "heddle-system",
        _ options: String...
    ) async throws -> String {
        let arguments = [verb, "heddle", chart, "--namespace", namespace]
        return try await run(arguments, values, options)
    }

    private static func run(
        _ arguments: [String],
        _ values: [String],
        _ options: [String]
    ) async throws -> String {
        let files = values.map { _ in newFile("values.yaml") }
        defer { files.forEach { try? FileManager.default.removeItem(at: $0) } }
        for (file, text) in zip(files, values) {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        return try await run(arguments + files.flatMap { ["-f", $0.path] } + options)
    }

    /// The objects that an installation would make, by kind and name: `Deployment heddle`.
    static func objects(
        values: [String] = [ChartValues.image],
        _ options: String...
    ) async throws -> [String: JSONValue] {
        let arguments = ["template", "heddle", chart, "--namespace", "heddle-system"]
        let text = try await run(arguments, values, options)
        var objects: [String: JSONValue] = [:]
        for case let document? in try Yams.load_all(yaml: text) {
            let data = try JSONSerialization.data(withJSONObject: document)
            let object = try JSONDecoder().decode(JSONValue.self, from: data)
            let name = object["metadata"]?["name"]?.string ?? ""
            objects["\(object["kind"]?.string ?? "") \(name)"] = object
        }
        return objects
    }

    private static func newFile(_ name: String) -> URL {
        FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString)-\(name)")
    }
}
