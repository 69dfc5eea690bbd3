import Logging
import Synchronization

/// A log that a test reads.
final class LogRecorder: Sendable {
    private let recorded = Mutex<[String]>([])

    /// The lines, by default of warnings and worse: the message, and the metadata by its names.
    var warnings: [String] { recorded.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let fields = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = (["\(event.message)"] + fields).joined(separator: " ")
            recorder.recorded.withLock { $0.append(line) }
        }
    }
}
