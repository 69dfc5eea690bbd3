import MeshModel
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Access log reader` {
    private let own = "[2026-11-23 13:16:08.123][12][info][main] [source/server.cc:1] starting\n"
    private let ejection =
        #"{"type":"CONSECUTIVE_5XX","cluster_name":"a","upstream_url":"1","action":"EJECT","#
        + #""num_ejections":1}"# + "\n"

    private func stream(_ parts: String...) -> AsyncStream<[UInt8]> {
        AsyncStream { stream in
            for part in parts { stream.yield(Array(part.utf8)) }
            stream.finish()
        }
    }

    private func text(
        _ reader: AccessLogReader,
        _ proxies: Set<ProxyID>,
        tail: Int? = nil,
        follow: Bool = false
    ) async throws -> String {
        var bytes: [UInt8] = []
        try await reader.read(proxies, tailLines: tail, follow: follow) { bytes += $0 }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `a file that several proxies write is read once, in whole lines`() async throws {
        let asked = Asked<String>()
        let reader = AccessLogReader(
            file: { path, tailLines, follow in
                asked.add("\(path) \(tailLines ?? -1) \(follow)")
                return stream("one\ntw", "o\nthr", "ee")
            },
            log: { _, _ in stream() }
        )
        let proxies: Set = [proxyID("blue-1"), proxyID("blue-2"), proxyID("blue-3")]
        #expect(!reader.hasLog(proxies))
        reader.setPaths([proxyID("blue-1"): "/log", proxyID("blue-2"): "/log"])
        #expect(reader.hasLog(proxies))
        #expect(try await text(reader, proxies, tail: 5) == "one\ntwo\nthree")
        #expect(asked.values == ["/log 5 false"])
    }

    @Test(arguments: ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/2"])
    func `a proxy's own log is told without Envoy's lines`(path: String) async throws {
        let access = #"[2026-11-23T13:16:08.123Z] "GET / HTTP/1.1" 200"# + "\n"
        let reader = AccessLogReader(
            file: { _, _, _ in stream() },
            log: { _, _ in
                stream(own + access + ejection + #"{"status":200,"cluster_name":"a"}"# + "\n")
            }
        )
        reader.setPaths([proxyID("blue-1"): path])
        let all = try await text(reader, [proxyID("blue-1")])
        #expect(all == access + #"{"status":200,"cluster_name":"a"}"# + "\n")
    }

    @Test func `the last lines are those of the access log`() {
        var filter = AccessLineFilter(tailLines: 2)
        let full = String(repeating: own, count: 64 * 1024 / own.utf8.count + 1)
        // A whole part of what is read at once; more may follow.
        #expect(filter.lines(in: Array(("a\nb\nc\n" + full).utf8)).isEmpty)
        #expect(filter.lines(in: Array("d\n".utf8)) == Array("c\nd\n".utf8))
        #expect(filter.lines(in: Array((own + "e\nf\ng\n").utf8)) == Array("e\nf\ng\n".utf8))
        #expect(filter.rest().isEmpty)
        var short = AccessLineFilter(tailLines: 2)
        #expect(short.lines(in: Array("a".utf8)).isEmpty)
        #expect(short.rest() == Array("a".utf8))
        var none = AccessLineFilter(tailLines: 0)
        #expect(none.lines(in: Array("a\n".utf8)).isEmpty)
        #expect(none.lines(in: Array("b\n".utf8)) == Array("b\n".utf8))
    }

    @Test func `several logs are followed line by line`() async throws {
        let reader = AccessLogReader(
            file: { path, _, _ in stream("\(path) 1\n\(path) ", "2\n") },
            log: { _, _ in stream() }
        )
        reader.setPaths([proxyID("blue-1"): "/a", proxyID("blue-2"): "/b"])
        var lines: [String] = []
        struct Enough: Error {}
        await #expect(throws: Enough.self) {
            let both: Set = [proxyID("blue-1"), proxyID("blue-2")]
            try await reader.read(both, tailLines: nil, follow: true) { part in
                lines += String(decoding: part, as: UTF8.self).split(separator: "\n").map(
                    String.init
                )
                if lines.count == 4 { throw Enough() }
            }
        }
        #expect(lines.sorted() == ["/a 1", "/a 2", "/b 1", "/b 2"])
    }

    @Test func `a line without an end takes no memory without a limit`() {
        var splitter = LineSplitter()
        let part = [UInt8](repeating: UInt8(ascii: "x"), count: 50 << 10)
        #expect(splitter.lines(in: part).isEmpty)
        #expect(splitter.lines(in: part).count == 100 << 10)
        #expect(splitter.rest().isEmpty)
    }
}
