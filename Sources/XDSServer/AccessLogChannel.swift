internal import EnvoyAPI
internal import Logging
internal import MeshModel
internal import Synchronization

/// One proxy as the access log service sees it: its streams, of which each of its threads has some.
final class AccessLogChannel: Sendable {
    /// The side of a channel that a stream's handler uses.
    struct Stream: ServedStream {
        let channel: AccessLogChannel
        let signals: StreamSlot.Signals
        fileprivate let id: Int
    }

    /// A stream that is open.
    private struct OpenLog {
        var slot = StreamSlot()
        /// Nil of the log of denials.
        var direction: RequestRecord.Direction?
    }

    private struct State {
        var logs: [Int: OpenLog] = [:]
        var lastID = 0
    }

    /// The most streams; the oldest makes room.
    ///
    /// Each worker of an Envoy has one for each log that has something to tell: a proxy has few workers, and a
    /// gateway one for each core of its host.
    static let streamLimit = 64

    let proxy: ProxyID
    private let sinks: AccessLogSinks
    private let state = Mutex(State())

    init(_ proxy: ProxyID, _ sinks: AccessLogSinks) {
        self.proxy = proxy
        self.sinks = sinks
    }

    /// Opens a stream beside those that are open.
    func open() -> Stream {
        state.withLock { state in
            if state.logs.count >= AccessLogChannel.streamLimit,
                let oldest = state.logs.keys.min()
            {
                state.logs[oldest]?.slot.end(.replaced)
                state.logs[oldest] = nil
            }
            state.lastID += 1
            var log = OpenLog()
            let signals = log.slot.open()
            state.logs[state.lastID] = log
            return Stream(channel: self, signals: signals, id: state.lastID)
        }
    }

    /// Ends all streams.
    func end(_ ending: StreamSlot.Ending) {
        state.withLock { state in
            for id in state.logs.keys { state.logs[id]?.slot.end(ending) }
            state.logs = [:]
        }
    }

    fileprivate func end(_ id: Int, _ ending: StreamSlot.Ending) {
        state.withLock { state in
            state.logs[id]?.slot.end(ending)
            state.logs[id] = nil
        }
    }

    /// Which log a stream is of, which its first message tells; nil when it is not open.
    fileprivate func log(of id: Int, named name: String?) -> Log? {
        state.withLock { state in
            guard state.logs[id] != nil else { return nil }
            if let name { state.logs[id]?.direction = RequestEntry.direction(logName: name) }
            return state.logs[id]?.direction.map(Log.tap) ?? .denials
        }
    }

    fileprivate enum Log {
        case denials
        case tap(RequestRecord.Direction)
    }

    fileprivate func take(
        _ message: Envoy_Service_Accesslog_V3_StreamAccessLogsMessage,
        _ direction: RequestRecord.Direction
    ) {
        sinks.feed.publish(of: proxy) {
            message.httpLogs.logEntry.map { RequestEntry.record($0, of: proxy, direction) }
                + message.tcpLogs.logEntry.map { RequestEntry.record($0, of: proxy, direction) }
        }
    }

    fileprivate func note(_ entry: DenialEntry, _ logger: Logger) {
        let (denial, count) = sinks.denials.note(entry.denial, by: proxy)
        sinks.audit(
            DeniedCall(
                denial,
                by: proxy,
                timeSeconds: entry.timeSeconds,
                method: entry.details["method"],
                authority: entry.details["authority"],
                path: entry.details["path"]
            )
        )
        // So nobody can fill a disk by asking.
        guard count.isPowerOfTen else { return }
        var metadata: Logger.Metadata = [
            "caller": "\(LogText(denial.caller))", "verdict": "\(denial.verdict)",
            "count": "\(count)",
        ]
        for (name, value) in entry.details { metadata[name] = "\(LogText(value))" }
        // Constant messages: who reads the log can look for either.
        switch denial.verdict {
        case .denied: logger.warning("request denied", metadata: metadata)
        case .shadow: logger.warning("request would be denied", metadata: metadata)
        }
    }
}

extension AccessLogChannel.Stream {
    var proxy: ProxyID { channel.proxy }

    /// Takes entries.
    func received(
        _ message: Envoy_Service_Accesslog_V3_StreamAccessLogsMessage,
        logger: Logger
    ) {
        let name = message.hasIdentifier ? message.identifier.logName : nil
        switch channel.log(of: id, named: name) {
        case nil: break
        case .tap(let direction)?: channel.take(message, direction)
        case .denials?:
            let entries =
                message.httpLogs.logEntry.compactMap { DenialEntry($0) }
                + message.tcpLogs.logEntry.compactMap { DenialEntry($0) }
            for entry in entries { channel.note(entry, logger) }
        }
    }

    /// Nothing is answered.
    func nextResponse() -> Envoy_Service_Accesslog_V3_StreamAccessLogsResponse? { nil }

    func end(_ ending: StreamSlot.Ending) { channel.end(id, ending) }
}

extension Int {
    fileprivate var isPowerOfTen: Bool {
        var rest = self
        while rest >= 10, rest % 10 == 0 { rest /= 10 }
        return rest == 1
    }
}
