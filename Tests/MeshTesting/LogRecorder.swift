public import Logging
internal import Synchronization

/// A log that a test reads.
public final class LogRecorder: Sendable {
    /// A line: the message, and the metadata by its names.
    public struct Line: Sendable {
        /// Its level.
        public var level: Logger.Level
        /// What it says.
        public var text: String
    }

    private let recorded = Mutex<[Line]>([])
    private let level: Logger.Level

    /// Makes a recorder of lines of `level` and worse.
    public init(level: Logger.Level = .warning) { self.level = level }

    /// The lines so far.
    public var lines: [Line] { recorded.withLock { $0 } }

    /// What the lines say.
    public var texts: [String] { lines.map(\.text) }

    /// Writes here.
    public var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self, level) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level

        init(recorder: LogRecorder, _ level: Logger.Level) {
            self.recorder = recorder
            logLevel = level
        }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let fields = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let text = (["\(event.message)"] + fields).joined(separator: " ")
            recorder.recorded.withLock { $0.append(Line(level: event.level, text: text)) }
        }
    }
}
