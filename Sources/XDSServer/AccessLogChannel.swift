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

    private struct State {
        var slots: [Int: StreamSlot] = [:]
        var lastID = 0
    }

    /// More streams than an Envoy has; the oldest makes room.
    static let streamLimit = 256

    let proxy: ProxyID
    private let denials: DenialCounts
    private let state = Mutex(State())

    init(_ proxy: ProxyID, denials: DenialCounts) {
        self.proxy = proxy
        self.denials = denials
    }

    /// Opens a stream beside those that are open.
    func open() -> Stream {
        state.withLock { state in
            if state.slots.count >= AccessLogChannel.streamLimit,
                let oldest = state.slots.keys.min()
            {
                state.slots[oldest]?.end(.replaced)
                state.slots[oldest] = nil
            }
            state.lastID += 1
            var slot = StreamSlot()
            let signals = slot.open()
            state.slots[state.lastID] = slot
            return Stream(channel: self, signals: signals, id: state.lastID)
        }
    }

    /// Ends all streams.
    func end(_ ending: StreamSlot.Ending) {
        state.withLock { state in
            for id in state.slots.keys { state.slots[id]?.end(ending) }
            state.slots = [:]
        }
    }

    fileprivate func close(_ id: Int) {
        state.withLock { state in
            state.slots[id]?.end(.closed)
            state.slots[id] = nil
        }
    }

    fileprivate func isOpen(_ id: Int) -> Bool { state.withLock { $0.slots[id] != nil } }

    fileprivate func note(_ entry: DenialEntry, _ logger: Logger) {
        let (denial, count) = denials.note(entry.denial, by: proxy)
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
        guard channel.isOpen(id) else { return }
        let entries =
            message.httpLogs.logEntry.compactMap { DenialEntry($0) }
            + message.tcpLogs.logEntry.compactMap { DenialEntry($0) }
        for entry in entries { channel.note(entry, logger) }
    }

    /// Nothing is answered.
    func nextResponse() -> Envoy_Service_Accesslog_V3_StreamAccessLogsResponse? { nil }

    func close() { channel.close(id) }
}

extension Int {
    fileprivate var isPowerOfTen: Bool {
        var rest = self
        while rest >= 10, rest % 10 == 0 { rest /= 10 }
        return rest == 1
    }
}
