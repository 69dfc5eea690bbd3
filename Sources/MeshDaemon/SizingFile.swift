internal import Foundation
internal import Glibc
internal import MeshModel
internal import MeshPlan

/// What the keeper knows of one proxy.
struct SizingEntry: Hashable, Sendable, Codable {
    var history = UsageHistory()
    /// When its Workload was removed, in seconds since 1970; nil while it is there.
    var removedSeconds: Double?
}

/// The file in which histories outlive the daemon.
struct SizingFile: Sendable {
    private static let version = 1
    /// Far more than ten thousand proxies need.
    private static let largestBytes = 256 << 20

    let path: String

    private struct Header: Codable { var version: Int }

    private struct Content: Codable {
        var version: Int
        var proxies: [String: SizingEntry]
    }

    /// The histories in the file; none when there is no file.
    ///
    /// - Throws: `DaemonError` when the file is there and can't be used. What can't be used is then
    ///   beside it, under another name.
    func read() throws(DaemonError) -> [ProxyID: SizingEntry] {
        guard access(path, F_OK) == 0 else { return [:] }
        let problem: String
        do {
            let url = URL(fileURLWithPath: path)
            let size = try url.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
            guard size <= Self.largestBytes else {
                throw DaemonError("it has \(size) bytes, more than any daemon writes")
            }
            let data = try Data(contentsOf: url)
            let decoder = JSONDecoder()
            let header = try decoder.decode(Header.self, from: data)
            guard header.version == Self.version else {
                throw DaemonError("it has version \(header.version), and this is \(Self.version)")
            }
            return try entries(decoder.decode(Content.self, from: data))
        } catch let error as DaemonError {
            problem = error.description
        } catch is DecodingError {
            problem = "it is damaged"
        } catch {
            // What can't be read is not damaged, and moving it would not mend it.
            throw DaemonError(
                "cannot read \(path): \(error.localizedDescription); mend its permissions"
            )
        }
        let aside = "\(path).damaged"
        guard rename(path, aside) == 0 else {
            throw DaemonError("cannot use \(path): \(problem); remove it")
        }
        throw DaemonError("cannot use \(path): \(problem); it is now \(aside), remove that")
    }

    private func entries(_ content: Content) throws -> [ProxyID: SizingEntry] {
        var entries: [ProxyID: SizingEntry] = [:]
        for (name, entry) in content.proxies {
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
                entry.removedSeconds.map(\.isFinite) ?? true
            else { throw DaemonError("it is damaged") }
            let reference = ObjectReference(namespace: String(parts[0]), name: String(parts[1]))
            entries[ProxyID(reference)] = entry
        }
        return entries
    }

    /// Puts `entries` in place of the file's; only its owner can read it.
    ///
    /// - Throws: `DaemonError` when that fails; the file is then as it was.
    func write(_ entries: [ProxyID: SizingEntry]) throws(DaemonError) {
        let proxies = Dictionary(uniqueKeysWithValues: entries.map { ("\($0.key)", $0.value) })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data: Data
        do {
            data = try encoder.encode(Content(version: Self.version, proxies: proxies))
        } catch {
            throw DaemonError("cannot write \(path): \(error)")
        }
        let new = "\(path).new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw cannotWrite(errno) }
        let failure = writeAll(data, to: descriptor)
        close(descriptor)
        guard failure == 0, rename(new, path) == 0 else {
            let error = cannotWrite(failure == 0 ? errno : failure)
            unlink(new)
            throw error
        }
    }

    /// Gives the number of the error, or 0.
    private func writeAll(_ data: Data, to descriptor: Int32) -> Int32 {
        data.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count < 0 {
                    guard errno == EINTR else { return errno }
                    continue
                }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
            }
            return fsync(descriptor) == 0 ? 0 : errno
        }
    }

    private func cannotWrite(_ code: Int32) -> DaemonError {
        let reason = String(cString: strerror(code))
        let remedy =
            switch code {
            case ENOSPC, EDQUOT, EFBIG: "make room there"
            default:
                "mend the permissions of \(URL(fileURLWithPath: path).deletingLastPathComponent().path)"
            }
        return DaemonError(
            "cannot write \(path): \(reason.prefix(1).lowercased() + reason.dropFirst()); \(remedy)"
        )
    }
}

/// Does `work`, which blocks, on a thread of its own.
func onOwnThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: work()) }
    }
}
