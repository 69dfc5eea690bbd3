import Foundation

/// A disk on which nothing can be written from a moment on: a small one of its own where that can be
/// mounted, else the limit that the system has for the size of files.
struct FullDisk {
    /// What the system says of a write.
    let reason: String
    private let folder: String
    private let isMounted: Bool
    private var limit = rlimit()

    /// Prepares `folder`, which is empty.
    init(at folder: String) async {
        self.folder = folder
        // One page for each file and nothing over, once the rest is filled.
        let mounting = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
        isMounted = await command(mounting, in: "/").status == 0
        reason = isMounted ? "no space left on device" : "file too large"
        getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    }

    /// Leaves no room.
    func fill() async {
        if isMounted {
            _ = await command(["dd", "if=/dev/zero", "of=filler", "bs=4k"], in: folder)
        } else {
            signal(SIGXFSZ, SIG_IGN)
            limitFiles(to: 0)
        }
    }

    /// Makes room.
    func free() {
        if isMounted {
            try? FileManager.default.removeItem(atPath: "\(folder)/filler")
        } else {
            limitFiles(to: limit.rlim_cur)
        }
    }

    /// Takes the disk away.
    func close() async {
        free()
        if isMounted { _ = await command(["umount", folder], in: "/") }
    }

    private func limitFiles(to size: rlim_t) {
        var changed = limit
        changed.rlim_cur = size
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &changed)
    }
}
