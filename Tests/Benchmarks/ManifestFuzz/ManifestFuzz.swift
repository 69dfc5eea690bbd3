// Mutates manifests, and decodes, validates and plans each: nothing may crash, hang or grow.
//
//     swift run -c release manifest-fuzz [--count N] [--seed S] PATH...
//
// Half of the mutations are of the bytes, half of the decoded documents. A crash prints the round's
// number with HEDDLE_FUZZ_TRACE=1; the same count, seed and paths repeat it.

import ArgumentParser
import FoundationEssentials
import MeshManifests
import MeshModel
import MeshPlan

@main
struct ManifestFuzz: ParsableCommand {
    @Option(help: "How many mutated manifests to try.")
    var count = 100_000

    @Option(help: "The seed of all mutations.")
    var seed: UInt64 = 1

    @Argument(help: "Manifests to mutate: files or folders.")
    var paths: [String]

    func run() throws {
        let corpus = try files().map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0))) }
        guard !corpus.isEmpty else { throw ValidationError("no manifest in the paths given") }
        let documents = corpus.flatMap { bytes in
            decodeManifests(bytes, path: "seed", folder: "/").objects.map(\.manifest.document)
        }
        let isTracing = ProcessInfo.processInfo.environment["HEDDLE_FUZZ_TRACE"] != nil
        var random = SplitMix64(state: seed)
        var tally = Tally()
        let clock = ContinuousClock()
        let start = clock.now
        for round in 0..<count {
            if isTracing { print("round \(round)") }
            let bytes: [UInt8]
            if round.isMultiple(of: 2) {
                bytes = mutated(corpus[Int.random(in: 0..<corpus.count, using: &random)], &random)
            } else {
                bytes = mutatedDocuments(documents, &random)
            }
            let elapsed = clock.measure { tally.add(attempt(bytes)) }
            tally.slowest = max(tally.slowest, elapsed)
        }
        print("\(count) mutated manifests, seed \(seed), in \(clock.now - start)")
        print("objects decoded \(tally.objects), proxies planned \(tally.proxies)")
        print("diagnostics \(tally.diagnostics), slowest manifest \(tally.slowest)")
        print("peak resident memory \(peakResidentKilobytes() / 1024) MiB")
    }

    /// One manifest through decode, validation and plan.
    private func attempt(_ bytes: [UInt8]) -> Tally {
        let file = decodeManifests(bytes, path: "mutated.yaml", folder: "/")
        var world = World()
        world.diagnostics = file.diagnostics
        file.objects.forEach { world.insert($0) }
        let plan = plan(world, nowSeconds: 0)
        _ = plan.diagnostics.map(\.description)
        return Tally(
            objects: file.objects.count,
            proxies: plan.proxies.count,
            diagnostics: plan.diagnostics.count
        )
    }

    private func files() throws -> [String] {
        try paths.flatMap { path -> [String] in
            var isFolder = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder
            else { return [path] }
            return try FileManager.default.subpathsOfDirectory(atPath: path).sorted()
                .filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".json") }
                .map { "\(path)/\($0)" }
        }
    }
}

private struct Tally {
    var objects = 0
    var proxies = 0
    var diagnostics = 0
    var slowest = Duration.zero

    mutating func add(_ other: Tally) {
        objects += other.objects
        proxies += other.proxies
        diagnostics += other.diagnostics
    }
}

/// The most memory that this process ever had, as the kernel tells it.
private func peakResidentKilobytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
}
