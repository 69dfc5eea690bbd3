import EnvoySupervisor
import MeshModel
import MeshTelemetry
import ServiceLifecycle
import Synchronization

/// Reads access logs of proxies: files, or what is theirs of a proxy's own log.
final class AccessLogReader: Sendable {
    /// How many parts of several logs wait for a slow reader.
    private static let waitingLimit = 16

    /// Opens a file; all of it without `tailLines`.
    typealias FileOpener =
        @Sendable (_ path: String, _ tailLines: Int?, _ follow: Bool) -> AsyncStream<[UInt8]>
    /// Opens a proxy's own log.
    typealias LogOpener =
        @Sendable (_ proxy: ProxyID, _ follow: Bool) -> AsyncStream<[UInt8]>

    private let file: FileOpener
    private let log: LogOpener
    /// The paths of access logs as planned.
    private let paths = Mutex<[ProxyID: String]>([:])

    init(file: @escaping FileOpener, log: @escaping LogOpener) {
        self.file = file
        self.log = log
    }

    /// Reads the logs of proxies that `supervisor` runs.
    convenience init(_ supervisor: EnvoySupervisor) {
        self.init(
            file: { supervisor.text(ofFile: $0, tailLines: $1, follow: $2) },
            log: { supervisor.log(of: $0, kind: .envoy, follow: $1) }
        )
    }

    /// Takes where each proxy writes its access log, of those that do.
    func setPaths(_ paths: [ProxyID: String]) { self.paths.withLock { $0 = paths } }

    /// Writes whole lines of the access logs of `proxies`, one log after the other, or with `follow` as they
    /// come.
    ///
    /// - Parameters:
    ///   - proxies: The proxies; a file that several write is read once.
    ///   - tailLines: How many of the last lines of each log; nil is all.
    ///   - follow: Whether to go on with what comes.
    ///   - write: Takes the lines.
    /// - Throws: What `write` throws.
    func read(
        _ proxies: Set<ProxyID>,
        tailLines: Int?,
        follow: Bool,
        _ write: ([UInt8]) async throws -> Void
    ) async throws {
        let logs = logs(of: proxies)
        // So that a client sees the begin.
        try await write([])
        if follow {
            try await followAll(logs, tailLines, write)
        } else {
            for log in logs { try await lines(of: log, tailLines, follow: false, write) }
        }
    }

    /// Whether one of `proxies` has an access log.
    func hasLog(_ proxies: Set<ProxyID>) -> Bool { !logs(of: proxies).isEmpty }

    private enum Log: Hashable {
        case file(String)
        case own(ProxyID)
    }

    private func logs(of proxies: Set<ProxyID>) -> [Log] {
        let paths = paths.withLock { $0 }
        var seen: Set<Log> = []
        return proxies.sorted().compactMap { proxy in
            paths[proxy].map { path in
                ProxyOutput.isOutput(path) ? .own(proxy) : .file(path)
            }
        }
        .filter { seen.insert($0).inserted }
    }

    private func followAll(
        _ logs: [Log],
        _ tailLines: Int?,
        _ write: ([UInt8]) async throws -> Void
    ) async throws {
        let (parts, sink) = AsyncStream.makeStream(
            of: [UInt8].self,
            bufferingPolicy: .bufferingOldest(Self.waitingLimit)
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { sink.finish() }
                try await withThrowingTaskGroup(of: Void.self) { readers in
                    for log in logs {
                        readers.addTask {
                            try await self.lines(of: log, tailLines, follow: true) { part in
                                while case .dropped = sink.yield(part) {
                                    try await Task.sleep(for: .milliseconds(10))
                                }
                            }
                        }
                    }
                    try await readers.waitForAll()
                }
            }
            defer { group.cancelAll() }
            for await part in parts.cancelOnGracefulShutdown() { try await write(part) }
        }
    }

    private func lines(
        of log: Log,
        _ tailLines: Int?,
        follow: Bool,
        _ write: ([UInt8]) async throws -> Void
    ) async throws {
        switch log {
        case .file(let path):
            var splitter = LineSplitter()
            for await part in file(path, tailLines, follow).cancelOnGracefulShutdown() {
                let lines = splitter.lines(in: part)
                if !lines.isEmpty { try await write(lines) }
            }
            let rest = splitter.rest()
            if !rest.isEmpty { try await write(rest) }
        case .own(let proxy):
            var filter = AccessLineFilter(tailLines: tailLines)
            for await part in self.log(proxy, follow).cancelOnGracefulShutdown() {
                let lines = filter.lines(in: part)
                if !lines.isEmpty { try await write(lines) }
            }
            let rest = filter.rest()
            if !rest.isEmpty { try await write(rest) }
        }
    }
}

/// Text that arrives piece by piece, as whole lines.
struct LineSplitter {
    /// A longer line is handed on in parts.
    static let limitBytes = 64 << 10

    private var pending: [UInt8] = []

    /// The lines that `part` completes, with their ends.
    mutating func lines(in part: [UInt8]) -> [UInt8] {
        pending += part
        guard let end = pending.lastIndex(of: UInt8(ascii: "\n")) else {
            return pending.count > Self.limitBytes ? rest() : []
        }
        defer { pending.removeSubrange(...end) }
        return Array(pending[...end])
    }

    /// What has no end.
    mutating func rest() -> [UInt8] {
        defer { pending = [] }
        return pending
    }
}

/// Tells the access log's lines in a proxy's own log from Envoy's.
struct AccessLineFilter {
    /// A part of a log that is shorter than what is read at once is the last of what is there.
    static let partBytes = 64 << 10

    private var splitter = LineSplitter()
    private let tailLines: Int?
    /// The last lines of those before the end; nil past it.
    private var last: [ArraySlice<UInt8>]?

    /// Hands on the last `tailLines` lines of what is there, and what comes after; nil is all.
    init(tailLines: Int?) {
        self.tailLines = tailLines
        last = tailLines == nil ? nil : []
    }

    /// The lines to hand on after `part`, with their ends.
    mutating func lines(in part: [UInt8]) -> [UInt8] {
        let text = splitter.lines(in: part)
        let lines = text.split(separator: UInt8(ascii: "\n")).filter {
            !ProxyOutput.isEnvoysOwn($0)
        }
        guard last != nil else { return Self.joined(lines) }
        last?.append(contentsOf: lines)
        let excess = (last?.count ?? 0) - (tailLines ?? 0)
        if excess > 0 { last?.removeFirst(excess) }
        return part.count < Self.partBytes ? release() : []
    }

    /// What is left at the end.
    mutating func rest() -> [UInt8] {
        let pending = splitter.rest()
        if !pending.isEmpty, !ProxyOutput.isEnvoysOwn(pending) { last?.append(pending[...]) }
        let rest = release()
        return last == nil && rest.isEmpty && !ProxyOutput.isEnvoysOwn(pending) ? pending : rest
    }

    private mutating func release() -> [UInt8] {
        defer { last = nil }
        return Self.joined((last ?? []).suffix(tailLines ?? 0))
    }

    private static func joined(_ lines: some Sequence<ArraySlice<UInt8>>) -> [UInt8] {
        lines.flatMap { $0 + [UInt8(ascii: "\n")] }
    }
}
