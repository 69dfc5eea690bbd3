public import MeshManifests
public import MeshModel

/// The world that a set of manifest files describes.
///
/// A mistake takes nothing away: while a file does not parse, the objects of its last good version
/// stay; while one object of a file is invalid, its last good version stays and the file's other
/// objects follow the file. A file that is removed takes its objects along.
///
/// Guarantee: the order in which files are updated does not change the objects of the world. Of
/// an object that is in two files, the one in the file whose path sorts first counts.
public struct FolderWorld: Sendable {
    private var files: [String: LoadedFile] = [:]
    private var ledger = ObjectLedger()
    /// Problems of the folders themselves, such as one that cannot be read.
    public var folderDiagnostics: [Diagnostic] = []

    /// Makes the world of no files.
    public init() {}

    /// Takes what `path` says now.
    ///
    /// `folder` is the folder whose note counts the file's ignored kinds.
    ///
    /// - Returns: whether the world may differ from before.
    @discardableResult
    public mutating func update(_ path: String, in folder: String, to file: ManifestFile) -> Bool {
        let previous = files[path]
        let loaded = LoadedFile(path: path, folder: folder, file: file, previous: previous)
        files[path] = loaded
        return previous != nil || !loaded.isSilent
    }

    /// Forgets `path`, which is no more.
    ///
    /// - Returns: whether the world may differ from before.
    @discardableResult
    public mutating func remove(_ path: String) -> Bool {
        guard let file = files.removeValue(forKey: path) else { return false }
        return !file.isSilent
    }

    /// The world of all files.
    ///
    /// `now` is the time since 1970.
    ///
    /// Uids and creation times are those of the object's first appearance; generations and
    /// resource versions grow with each change.
    public mutating func world(at now: Duration) -> World {
        var world = World()
        var counting: [ObjectID: LoadedObject] = [:]
        world.diagnostics = folderDiagnostics
        for path in files.keys.sorted() {
            guard let file = files[path] else { continue }
            world.diagnostics += file.diagnostics
            for candidate in file.objects {
                let id = candidate.object.id
                guard let first = counting[id] else {
                    counting[id] = candidate
                    continue
                }
                if candidate.isKept { continue }
                if first.isKept {
                    // What a file says now counts more than what another said before it broke.
                    counting[id] = candidate
                } else {
                    world.diagnostics.append(candidate.duplicate(of: first))
                }
            }
        }
        world.diagnostics += ignoredNotes()
        world.diagnostics.sort()
        for object in ledger.enter(counting.values.map(\.object), at: now) { world.insert(object) }
        return world
    }

    /// The worlds that the files can make: one, unless files contradict each other.
    ///
    /// Files that each bring a Namespace or Mesh, and contradict each other in it, are whole examples
    /// side by side and not one mesh. Each of them makes a world of its own, with the files that
    /// contradict none. A warning in the first world names each contradiction.
    mutating func alternatives(at now: Duration) -> [World] {
        let contradictions = contradictions()
        guard !contradictions.isEmpty else { return [world(at: now)] }
        let contradicting = Set(contradictions.flatMap { [$0.path, $0.otherPath] }).sorted()
        var worlds = contradicting.map { path in
            var alternative = self
            for other in contradicting where other != path { alternative.remove(other) }
            var world = alternative.world(at: now)
            let notes = alternative.ignoredNotes()
            world.diagnostics.removeAll { notes.contains($0) }
            return world
        }
        worlds[0].diagnostics += contradictions.map(\.warning) + ignoredNotes()
        worlds[0].diagnostics.sort()
        return worlds
    }

    /// Every Namespace and Mesh of which a file says something else than one that sorts before it.
    private func contradictions() -> [Contradiction] {
        var first: [ObjectID: (path: String, manifest: Manifest)] = [:]
        var found: [Contradiction] = []
        for path in files.keys.sorted() {
            for object in files[path]?.objects.map(\.object) ?? []
            where !object.id.kind.isNamespaced {
                guard let other = first[object.id] else {
                    first[object.id] = (path, object.manifest)
                    continue
                }
                if other.path != path, other.manifest.document != object.manifest.document {
                    found.append(
                        Contradiction(
                            path: path,
                            otherPath: other.path,
                            object: object,
                            other: other.manifest
                        )
                    )
                }
            }
        }
        return found
    }

    /// One note for each folder that has manifests of other kinds.
    private func ignoredNotes() -> [Diagnostic] {
        var counts: [String: [String: Int]] = [:]
        for file in files.values where !file.ignored.isEmpty {
            counts[file.folder, default: [:]].merge(file.ignored, uniquingKeysWith: +)
        }
        return counts.map { folder, kinds in
            let list = kinds.sorted { $0.key < $1.key }.map { amount($0.value, of: $0.key) }
            return Diagnostic(
                .note,
                problem: "ignored \(enumeration(list)) in \(folder)",
                remedy: "Heddle runs Workloads instead"
            )
        }
    }
}

/// Two files that say different things of one object.
private struct Contradiction {
    var path: String
    var otherPath: String
    var object: MeshObject
    var other: Manifest

    var warning: Diagnostic {
        let place = other.location(of: "").map(\.description) ?? otherPath
        return Diagnostic(
            .warning,
            object: object.id,
            problem: "differs from the one in \(place), so that the two files are checked apart",
            remedy: "to run both in one mesh, remove one of the two",
            location: object.manifest.location(of: "")
        )
    }
}

/// An object as a file has it, or had it.
struct LoadedObject: Sendable {
    /// The object.
    var object: MeshObject
    /// True when the file does not have the object in this form any more.
    var isKept: Bool

    /// The diagnostic for this object being in a file although `first` counts.
    ///
    /// A copy that says the same does no harm; often each file brings its Namespace and Mesh.
    func duplicate(of first: LoadedObject) -> Diagnostic {
        let place = first.object.manifest.location(of: "").map(\.description) ?? "another file"
        let isCopy = object.manifest.document == first.object.manifest.document
        return Diagnostic(
            isCopy ? .note : .error,
            object: object.id,
            problem: isCopy ? "is also in \(place)" : "is already in \(place), which counts",
            remedy: isCopy ? nil : "remove one of the two",
            location: object.manifest.location(of: "")
        )
    }
}

/// One file: what it says now, and what stays of what it said before.
struct LoadedFile: Sendable {
    /// The folder whose note counts the ignored kinds.
    let folder: String
    /// Objects in the order of the file, then those that are kept.
    let objects: [LoadedObject]
    /// What is wrong with the file, and what was kept for it.
    let diagnostics: [Diagnostic]
    /// How many documents of which other kinds it has.
    let ignored: [String: Int]

    /// True when the file adds nothing to a world.
    var isSilent: Bool { objects.isEmpty && diagnostics.isEmpty && ignored.isEmpty }

    /// Takes `file`, and from `previous` what the errors of `file` hide.
    init(path: String, folder: String, file: ManifestFile, previous: LoadedFile?) {
        self.folder = folder
        let errors = file.diagnostics.filter { $0.severity == .error }
        let unreadable = errors.first { $0.object == nil }
        let invalid = Set(errors.compactMap(\.object))
        let present = Set(file.objects.map(\.id))
        let kept = (previous?.objects ?? []).filter {
            !present.contains($0.object.id) && (unreadable != nil || invalid.contains($0.object.id))
        }
        objects =
            file.objects.map { LoadedObject(object: $0, isKept: false) }
            + kept.map { LoadedObject(object: $0.object, isKept: true) }
        diagnostics = file.diagnostics + Self.notices(of: kept, path: path, errors: errors)
        ignored = file.ignored
    }

    /// Says what is kept: one line for the file, or one for each object that is invalid.
    private static func notices(
        of kept: [LoadedObject],
        path: String,
        errors: [Diagnostic]
    ) -> [Diagnostic] {
        guard !kept.isEmpty else { return [] }
        if let unreadable = errors.first(where: { $0.object == nil }) {
            let objects = kept.count == 1 ? "object" : "\(kept.count) objects"
            return [
                Diagnostic(
                    .warning,
                    problem: "keeps the \(objects) of its last good version",
                    location: unreadable.location ?? SourceLocation(file: path, line: 1)
                )
            ]
        }
        return kept.map { kept in
            let id = kept.object.id
            return Diagnostic(
                .warning,
                object: id,
                problem: "keeps its last good version",
                location: errors.first { $0.object == id }?.location
            )
        }
    }
}

/// `1 Ingress`, `2 Ingresses`, `2 Services`.
func amount(_ count: Int, of kind: String) -> String {
    guard count != 1 else { return "1 \(kind)" }
    if kind.hasSuffix("ss") { return "\(count) \(kind)es" }
    if kind.hasSuffix("s") { return "\(count) \(kind)" }
    if kind.hasSuffix("y"), let before = kind.dropLast().last, !"aeiou".contains(before) {
        return "\(count) \(kind.dropLast())ies"
    }
    return "\(count) \(kind)s"
}

/// `a`, `a and b`, `a, b and c`.
func enumeration(_ parts: [String]) -> String {
    guard let last = parts.last, parts.count > 1 else { return parts.first ?? "" }
    return "\(parts.dropLast().joined(separator: ", ")) and \(last)"
}
