import FoundationEssentials
import Glibc
import Logging
import MeshModel

/// The file in which an event log outlives the daemon: one line for each time that an event happened.
///
/// What cannot be written is written later, and stops nothing: one warning tells of it.
struct EventFile {
    let path: String
    private let logger: Logger
    /// How many lines it has.
    private var lineCount = 0
    /// Whether its end is not what it should be, so that it is written anew.
    private var isDamaged = false
    private var hasWarned = false

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// The events in it, as they were last; without those of damaged lines.
    mutating func read() -> [LoggedEvent] {
        guard let data = FileManager.default.contents(atPath: path) else {
            if access(path, F_OK) == 0 { warn("events of earlier runs not read", systemError()) }
            return []
        }
        var events: [Int: LoggedEvent] = [:]
        var damaged = 0
        let decoder = JSONDecoder()
        for line in data.split(separator: UInt8(ascii: "\n")) {
            lineCount += 1
            guard let document = try? decoder.decode(JSONValue.self, from: line),
                let event = LoggedEvent(line: document)
            else {
                damaged += 1
                continue
            }
            events[event.firstVersion] = event
        }
        // A line that was cut off would swallow the next.
        isDamaged = damaged > 0 || (data.last.map { $0 != UInt8(ascii: "\n") } ?? false)
        if damaged > 0 {
            logger.warning(
                "damaged lines in the events of earlier runs are left out",
                metadata: ["file": "\(path)", "lines": "\(damaged)"]
            )
        }
        return events.values.sorted { $0.version < $1.version }
    }

    /// Appends `changed`; writes `all` anew when the file has become long or is damaged.
    mutating func write(_ changed: [LoggedEvent], of all: [LoggedEvent], limit: Int) {
        guard isDamaged || lineCount + changed.count > 4 * limit else {
            do {
                try append(changed.flatMap(\.line))
                lineCount += changed.count
                hasWarned = false
            } catch {
                isDamaged = true
                warn("events not saved", "\(error)")
            }
            return
        }
        do {
            try replace(all.flatMap(\.line))
            lineCount = all.count
            isDamaged = false
            hasWarned = false
        } catch {
            isDamaged = true
            warn("events not saved", "\(error)")
        }
    }

    private mutating func warn(_ message: Logger.Message, _ problem: String) {
        guard !hasWarned else { return }
        hasWarned = true
        logger.warning(
            message,
            metadata: [
                "file": "\(path)", "error": "\(problem)",
                "remedy": "make room or mend its permissions; events are kept in memory until then",
            ]
        )
    }

    private func append(_ bytes: [UInt8]) throws {
        try write(bytes, to: path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC)
    }

    private func replace(_ bytes: [UInt8]) throws {
        let temporary = path + ".new"
        do {
            try write(bytes, to: temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
            guard rename(temporary, path) == 0 else { throw DaemonError(systemError()) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private func write(_ bytes: [UInt8], to path: String, _ flags: Int32) throws {
        let file = open(path, flags, 0o600)
        guard file >= 0 else { throw DaemonError(systemError()) }
        defer { close(file) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw DaemonError(systemError()) }
            rest = rest.dropFirst(count)
        }
    }
}

/// What the last failed system call says.
private func systemError() -> String { String(cString: strerror(errno)) }
