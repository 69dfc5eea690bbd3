import Glibc

/// Identifies a file or folder however it is reached.
struct FileIdentity: Hashable, Sendable {
    let device: UInt
    let inode: UInt

    init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
    }
}

/// What changes when a file's content changes.
struct FileSignature: Hashable, Sendable {
    let identity: FileIdentity
    let size: Int
    let modified: [Int]

    init(_ status: stat) {
        identity = FileIdentity(status)
        size = status.st_size
        modified = [
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
            status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
        ]
    }
}

/// A name in a watched folder.
struct WatchedName: Hashable, Sendable {
    /// The watch, as inotify numbers it.
    let watch: Int32
    let name: String
}

/// A manifest file that a scan found.
struct FoundFile: Sendable {
    /// The path, beginning as the user named the folder.
    let path: String
    /// The folder, or file, that the user named.
    let root: String
    let signature: FileSignature
    /// The name by which events tell of the file; nil when its folder could not be watched.
    let watched: WatchedName?
}

/// A problem with a path.
struct PathProblem: Hashable, Sendable {
    let path: String
    /// `errno` at the time.
    let code: Int32

    /// What the system says about it, in lower case.
    var reason: String {
        let text = String(cString: strerror(code))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}

/// What a walk through folders found.
///
/// A link to a folder is followed, and each folder and file counts once however many ways lead to
/// it, so links in a circle do no harm.
struct FolderScan {
    /// Watches all names in a folder, or the one given, and returns the watch's number.
    typealias Watch = (_ folder: String, _ name: String?) -> Int32?

    private(set) var files: [FoundFile] = []
    /// Folders that could not be listed, and roots that are not there.
    private(set) var problems: [PathProblem] = []

    private let watch: Watch
    private var visited: Set<FileIdentity> = []
    private var linkedFolders: [(path: String, root: String)] = []

    /// Walks `roots`, each a folder or a file, without going into the folder `excluded`.
    ///
    /// Every folder is watched before it is listed, so
    /// that no change between the two is missed.
    init(roots: [String], excluded: String? = nil, watch: @escaping Watch) {
        self.watch = watch
        var status = stat()
        if let excluded, stat(excluded, &status) == 0 { visited.insert(FileIdentity(status)) }
        for root in roots { scan(root: root) }
        while !linkedFolders.isEmpty {
            let folder = linkedFolders.removeFirst()
            scan(folder: folder.path, root: folder.root)
        }
        files.sort { $0.path < $1.path }
    }

    private mutating func scan(root: String) {
        for (parent, name) in anchors(of: root) { _ = watch(parent, name) }
        var status = stat()
        guard stat(root, &status) == 0 else {
            problems.append(PathProblem(path: root, code: errno))
            return
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            scan(folder: root, root: root)
        } else {
            let (folder, name) = split(root)
            let watched = watch(folder, name).map { WatchedName(watch: $0, name: name) }
            add(file: root, root: root, watched: watched)
        }
    }

    private mutating func scan(folder: String, root: String) {
        var status = stat()
        guard stat(folder, &status) == 0, visited.insert(FileIdentity(status)).inserted else {
            return
        }
        let number = watch(folder, nil)
        guard let stream = opendir(folder) else {
            problems.append(PathProblem(path: folder, code: errno))
            return
        }
        defer { closedir(stream) }
        var subfolders: [String] = []
        for name in names(in: stream).sorted() {
            let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
            var link = stat()
            guard lstat(path, &link) == 0 else { continue }
            switch link.st_mode & S_IFMT {
            case S_IFDIR: subfolders.append(path)
            case S_IFREG where isManifest(name):
                let watched = number.map { WatchedName(watch: $0, name: name) }
                add(file: path, root: root, watched: watched)
            case S_IFLNK: follow(link: path, name: name, root: root)
            default: continue
            }
        }
        for subfolder in subfolders { scan(folder: subfolder, root: root) }
    }

    private func names(in stream: OpaquePointer) -> [String] {
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !isHidden(name) { names.append(name) }
        }
        return names
    }

    private mutating func follow(link: String, name: String, root: String) {
        var target = stat()
        guard stat(link, &target) == 0 else { return }
        if target.st_mode & S_IFMT == S_IFDIR {
            linkedFolders.append((link, root))
        } else if isManifest(name), let real = realpath(link, nil) {
            defer { free(real) }
            // Who writes to the target is heard of in the target's folder.
            let (folder, name) = split(String(cString: real))
            let watched = watch(folder, name).map { WatchedName(watch: $0, name: name) }
            add(file: link, root: root, watched: watched)
        }
    }

    private mutating func add(file path: String, root: String, watched: WatchedName?) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            visited.insert(FileIdentity(status)).inserted
        else { return }
        files.append(
            FoundFile(path: path, root: root, signature: FileSignature(status), watched: watched)
        )
    }
}

/// The folders and names whose change makes `root` another folder or file: of each part of the
/// path that is a link, of the first part that is missing, and of `root` itself.
private func anchors(of root: String) -> [(folder: String, name: String)] {
    var found: [(String, String)] = []
    var path = root
    while path != "/", path != ".", !path.isEmpty {
        let (folder, name) = split(path)
        var status = stat(), parent = stat()
        let isLink = lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
        if path == root || isLink || stat(path, &status) != 0, stat(folder, &parent) == 0 {
            found.append((folder, name))
        }
        path = folder
    }
    return found
}

/// The folder and the name of a path: `("a/b", "c.yaml")`, `(".", "c.yaml")`, `("/", "c.yaml")`.
func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = path[..<slash]
    return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
}

/// `path` without slashes at its end.
func withoutTrailingSlash(_ path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return String(path)
}

/// The absolute path of `folder`, with links as they are.
func absolutePath(of folder: String) -> String {
    if folder.hasPrefix("/") { return folder }
    guard let current = getcwd(nil, 0) else { return folder }
    defer { free(current) }
    let base = String(cString: current)
    return folder == "." ? base : "\(base)/\(folder)"
}
