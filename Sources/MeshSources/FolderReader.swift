import Glibc
import MeshManifests
import MeshModel

/// Reads the files that a scan found into a `FolderWorld`, each only when it changed.
struct FolderReader {
    /// The size up to which files are read; the decoder refuses larger ones.
    static let maximumBytes = 4 << 20

    private struct KnownFile {
        var signature: FileSignature
        /// Hash of the bytes, or of the reason for which there are none.
        var content: Int
    }

    private let decode: FolderSource.Decode
    private var known: [String: KnownFile] = [:]
    private(set) var world = FolderWorld()

    init(decode: @escaping FolderSource.Decode) { self.decode = decode }

    /// Takes what `scan` found.
    ///
    /// - Parameters:
    ///   - scan: The files there are.
    ///   - mustRead: Whether to read a file although its signature is the same.
    ///   - mustWait: Whether somebody is writing to a file, so that it is not read now.
    ///   - notes: Diagnostics about the watching of folders.
    /// - Returns: whether the world may differ from before.
    mutating func take(
        _ scan: FolderScan,
        mustRead: (FoundFile) -> Bool = { _ in true },
        mustWait: (FoundFile) -> Bool = { _ in false },
        notes: [Diagnostic] = []
    ) -> Bool {
        var changed = false
        for file in scan.files where !mustWait(file) {
            if known[file.path]?.signature == file.signature, !mustRead(file) { continue }
            if read(file) { changed = true }
        }
        let paths = Set(scan.files.map(\.path))
        // Files below a folder that cannot be listed may still be there. A folder named on the
        // command line that is gone may be on its way back: only files that go one by one are gone.
        let hidden = scan.problems.map(\.path)
        for path in known.keys where !paths.contains(path) {
            if hidden.contains(where: { path == $0 || path.hasPrefix($0 + "/") }) { continue }
            known[path] = nil
            if world.remove(path) { changed = true }
        }
        let diagnostics = scan.problems.map(diagnostic(for:)) + notes
        if diagnostics != world.folderDiagnostics {
            world.folderDiagnostics = diagnostics
            changed = true
        }
        return changed
    }

    /// The world of all files at `now`, the time since 1970.
    mutating func world(at now: Duration) -> World { world.world(at: now) }

    /// The worlds that the files can make at `now`.
    mutating func alternatives(at now: Duration) -> [World] { world.alternatives(at: now) }

    private mutating func read(_ file: FoundFile) -> Bool {
        var manifest = ManifestFile()
        var hasher = Hasher()
        switch bytes(of: file.path) {
        case .success(let bytes):
            bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
            let content = hasher.finalize()
            guard known[file.path]?.content != content else {
                known[file.path]?.signature = file.signature
                return false
            }
            known[file.path] = KnownFile(signature: file.signature, content: content)
            manifest = decode(bytes, file.path, absolutePath(of: split(file.path).folder))
        case .failure(let failure) where failure.problem.code == ENOENT:
            // It went away since the scan; the next one will tell.
            return false
        case .failure(let failure):
            hasher.combine(failure.problem)
            let content = hasher.finalize()
            guard known[file.path]?.content != content else { return false }
            known[file.path] = KnownFile(signature: file.signature, content: content)
            manifest.diagnostics = [diagnostic(for: failure.problem)]
        }
        return world.update(file.path, in: file.root, to: manifest)
    }

    private func diagnostic(for problem: PathProblem) -> Diagnostic {
        Diagnostic(.error, problem: "cannot read \(problem.path): \(problem.reason)")
    }
}

private struct ReadFailure: Error {
    let problem: PathProblem
}

/// The bytes of the file at `path`, of a large one just more than the decoder takes.
private func bytes(of path: String) -> Result<[UInt8], ReadFailure> {
    func failure() -> Result<[UInt8], ReadFailure> {
        .failure(ReadFailure(problem: PathProblem(path: path, code: errno)))
    }
    // Not blocking, lest a pipe that took the file's place stop everything.
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return failure() }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { return failure() }
    let capacity = min(max(status.st_size, 0), FolderReader.maximumBytes) + 1
    var bytes: [UInt8] = []
    while bytes.count <= FolderReader.maximumBytes {
        var count = 0
        let chunk = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
            count = Glibc.read(file, buffer.baseAddress, capacity)
            filled = max(count, 0)
        }
        if count < 0 {
            guard errno == EINTR else { return failure() }
        } else if count == 0 {
            break
        }
        bytes += chunk
    }
    return .success(Array(bytes.prefix(FolderReader.maximumBytes + 1)))
}
