import Foundation
@testable import MeshTelemetry
import Testing

/// Reading access logs over what happens to files.
@Suite final class LogTailTests {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("log-tail-\(UUID().uuidString.prefix(8))")
    private var path: String { folder.appendingPathComponent("access.log").path }

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func append(_ text: String, to path: String? = nil) throws {
        let path = path ?? self.path
        if !FileManager.default.fileExists(atPath: path) {
            try Data().write(to: URL(fileURLWithPath: path))
        }
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }

    /// What is read in a few looks.
    private func read(_ tail: inout LogTail) -> [String] {
        (0..<4).flatMap { _ in tail.next().map { String(decoding: $0.bytes, as: UTF8.self) } }
    }

    @Test func `a file that is not there yet is read from its begin`() throws {
        var tail = LogTail(path, from: nil)
        #expect(read(&tail).isEmpty)
        try append("one\ntwo\n\nthr")
        #expect(read(&tail) == ["one", "two"])
        try append("ee\n")
        #expect(read(&tail) == ["three"])
    }

    @Test func `a renamed file is read to its end before the new one`() throws {
        try append("one\n")
        var tail = LogTail(path, from: nil)
        #expect(read(&tail) == ["one"])
        try append("two\n")
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        // Envoy writes to the old file until it opens the new one.
        try append("three\n", to: path + ".1")
        #expect(read(&tail) == ["two", "three"])
        try append("four\n")
        try append("last", to: path + ".1")
        #expect(read(&tail) == ["last", "four"])
    }

    @Test func `what a truncation left in a copy is read there`() throws {
        try append("one\n")
        var tail = LogTail(path, from: nil)
        #expect(read(&tail) == ["one"])
        try append("two\n")
        try FileManager.default.copyItem(atPath: path, toPath: path + ".1")
        try #require(FileHandle(forWritingAtPath: path)).truncate(atOffset: 0)
        try append("three\n")
        #expect(read(&tail) == ["two", "three"])
    }

    @Test func `a file that was truncated without a copy is read from its begin`() throws {
        try append("one is the first line\n")
        var tail = LogTail(path, from: nil)
        #expect(read(&tail).count == 1)
        try #require(FileHandle(forWritingAtPath: path)).truncate(atOffset: 0)
        // Longer than before, so that its size does not tell.
        try append("two is a line that is longer than the first\n")
        #expect(read(&tail) == ["two is a line that is longer than the first"])
    }

    @Test func `long lines are cut, and what has no lines is passed over`() throws {
        try append("")
        var tail = LogTail(path, from: nil)
        try append(String(repeating: "x", count: 3 * LogTail.lineLimit) + "\nshort\n")
        let lines = read(&tail)
        #expect(lines.map(\.utf8.count) == [LogTail.lineLimit, 5])
    }

    @Test func `of an old file the newest megabyte is read, from a whole line on`() throws {
        try append(String(repeating: "0123456789abcde\n", count: 100_000))
        var tail = LogTail(path, from: nil)
        var count = 0
        while case let lines = tail.next(), !lines.isEmpty {
            count += lines.count
            #expect(lines.allSatisfy { $0.bytes.count == 15 })
        }
        #expect(count == LogTail.headStart / 16 - 1)
    }

    private enum Meanwhile: CaseIterable {
        case nothing, renamed, copied, replaced
    }

    @Test(arguments: Meanwhile.allCases)
    private func `a restart goes on where it was left`(meanwhile: Meanwhile) throws {
        try append("one\ntwo\n")
        var tail = LogTail(path, from: nil)
        let first = try #require(tail.next().first)
        let kept = try #require(tail.kept(first.place))
        #expect(kept.offset == 4)
        switch meanwhile {
        case .nothing: break
        case .renamed:
            try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
            try append("three\n")
        case .copied:
            try FileManager.default.copyItem(atPath: path, toPath: path + ".1")
            try #require(FileHandle(forWritingAtPath: path)).truncate(atOffset: 0)
            try append("three\n")
        case .replaced:
            // The old file's number must not be given to the new one.
            try FileManager.default.moveItem(atPath: path, toPath: path + ".2")
            try append("three\n")
        }
        var next = LogTail(path, from: kept)
        #expect(
            read(&next)
                == (meanwhile == .nothing
                    ? ["two"] : meanwhile == .replaced ? ["three"] : ["two", "three"])
        )
    }

    @Test(
        arguments: [
            ("[2026-11-23 13:14:19.123][17][info][main] [source/server/server.cc:1] x", true),
            ("[2026-11-23T13:14:19.123Z] \"GET / HTTP/1.1\" 200", false),
            (#"{"time":"[2026-11-23 13:14:19.123][17]"}"#, false), ("[2026-11-23 13:14:19", false),
            ("", false), ("[2026-11-23 13:14:19.123][x", false),
            (
                #"{"type":"CONSECUTIVE_5XX","cluster_name":"a","upstream_url":"1","#
                    + #""action":"EJECT","num_ejections":1}"#, true
            ),
            (#"{"cluster_name":"a","upstream_url":"1","action":"EJECT"}"#, false),
        ]
    )
    func `Envoy's own messages are told from access logs`(line: String, isEnvoys: Bool) {
        #expect(ProxyOutput.isEnvoysOwn(line.utf8) == isEnvoys)
    }

    @Test(
        arguments: [
            ("/dev/stdout", true), ("/dev/stderr", true), ("/dev/fd/1", true),
            ("/proc/self/fd/2", true), ("/dev/null", false), ("/var/log/stdout", false),
        ]
    )
    func `a proxy's output is known by its paths`(path: String, isOutput: Bool) {
        #expect(ProxyOutput.isOutput(path) == isOutput)
    }

    @Test(
        arguments: [
            ("[2027-01-15T08:00:00.250Z] \"GET / HTTP/1.1\"", 1_800_000_000.25),
            ("[2027-01-15T07:59:00.000Z] x", 1_799_999_940),
            // Neither what is to come, nor what is too old, nor what is no time.
            ("[2027-01-15T08:01:00.000Z] x", nil), ("[1999-01-15T08:01:00.000Z] x", nil),
            ("[2027-13-15T08:01:00.000Z] x", nil), ("x [2027-01-15T08:00:00.000Z]", nil),
        ] as [(String, Double?)]
    )
    func `a line's time is that of its begin, if it is to be believed`(
        line: String,
        seconds: Double?
    ) {
        #expect(AccessLine.timeSeconds(of: Array(line.utf8), near: 1_800_000_001) == seconds)
    }
}
