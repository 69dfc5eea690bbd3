import CProcess
import Foundation
import MeshModel
import Synchronization
import Testing

@testable import EnvoySupervisor

/// A log in a folder of its own, and one who appends to it as processes do.
private final class LogFile {
    let folder: String
    let path: String
    let writer: Descriptor

    init(in folder: String = Harness.newFolder()) throws {
        self.folder = folder
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        path = "\(folder)/envoy.log"
        writer = try Descriptor.open(path, O_WRONLY | O_APPEND | O_CREAT)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func append(_ lines: ClosedRange<Int>) {
        let text = lines.map { "line \($0)\n" }.joined()
        #expect(write(writer.number, text, text.utf8.count) == text.utf8.count)
    }

    static func text(_ path: String) -> String {
        (try? String(contentsOfFile: path, encoding: .utf8)) ?? "none"
    }

    var now: String { Self.text(path) }
    var former: String { Self.text("\(path).1") }

    func reader(tailLines: Int? = nil) -> LogReader {
        LogReader(path: path, tailLines: tailLines, changes: nil)
    }
}

private func lines(_ numbers: ClosedRange<Int>) -> String {
    numbers.map { "line \($0)\n" }.joined()
}

/// All that the reader gives now.
private func rest(of reader: LogReader) async -> String {
    var bytes: [UInt8] = []
    while let chunk = await reader.next() { bytes += chunk }
    return String(decoding: bytes, as: UTF8.self)
}

@Suite(.timeLimit(.minutes(1)))
struct LogRotationTests {
    @Test func `a log that is too big becomes the former one, and its writer goes on`() throws {
        let log = try LogFile()
        var rotation = LogRotation(capBytes: 1000)
        log.append(1...10)
        #expect(rotation.rotate([log.path, "/no/such.log"]).emptied == [])
        log.append(11...200)
        let first = rotation.rotate([log.path])
        #expect(first.emptied == [log.path] && first.problems == [])
        #expect(log.now == "" && log.former == lines(1...200))
        log.append(201...400)
        #expect(log.now == lines(201...400), "the writer appends")
        #expect(rotation.rotate([log.path]).emptied == [log.path])
        #expect(log.former == lines(201...400), "there is one former file")
        #expect(Files.names(in: log.folder) == ["envoy.log", "envoy.log.1"])
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(log.path).1")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test func `a problem is told once, until a rotation succeeds`() throws {
        let log = try LogFile()
        var rotation = LogRotation(capBytes: 100)
        let obstacle = "\(log.path).1.new"
        try FileManager.default.createDirectory(
            atPath: "\(obstacle)/x",
            withIntermediateDirectories: true
        )
        log.append(1...100)
        let first = rotation.rotate([log.path])
        #expect(first.emptied == [])
        #expect(
            first.problems == ["cannot open \(obstacle): file exists; \(log.path) grows on"]
        )
        #expect(rotation.rotate([log.path]).problems == [])
        #expect(log.now == lines(1...100), "nothing is lost")
        try FileManager.default.removeItem(atPath: obstacle)
        #expect(rotation.rotate([log.path]).emptied == [log.path])
        try FileManager.default.createDirectory(
            atPath: obstacle,
            withIntermediateDirectories: false
        )
        log.append(1...100)
        #expect(rotation.rotate([log.path]).problems.count == 1)
    }

    @Test func `a log that somebody keeps locked holds nobody up, and is rotated later`()
        async throws
    {
        let log = try LogFile()
        var rotation = LogRotation(capBytes: 100)
        log.append(1...100)
        let other = try Descriptor.open(log.path, O_RDONLY)
        #expect(cprocess_lock_file(other.number, true) == 0)
        let locked = await rotation.rotating([log.path])
        #expect(locked.emptied == [] && locked.problems == [])
        #expect(Files.names(in: log.folder) == ["envoy.log"])
        #expect(await rest(of: log.reader()) == lines(1...100))
        #expect(cprocess_unlock_file(other.number) == 0)
        rotation = locked.after
        #expect(await rotation.rotating([log.path]).emptied == [log.path])
        #expect(log.former == lines(1...100))
    }

    /// Needs the right to mount.
    @Test(.enabled(if: geteuid() == 0 || RealEnvoy.isRequired))
    func `on a full disk the former file goes first, then the content`() async throws {
        let disk = try SmallDisk(kilobytes: 96)
        let log = try LogFile(in: "\(disk.path)/logs")
        defer { disk.remove() }
        let rotation = LogRotation(capBytes: 20_000)
        // 32 KiB, then 40 KiB: both, and a copy, do not fit.
        try Data(repeating: 0x61, count: 32 << 10)
            .write(to: URL(fileURLWithPath: "\(log.path).1"))
        log.append(10_000...13_500)
        #expect(rotation.rotate(log.path) == .rotated)
        #expect(log.former == lines(10_000...13_500))
        // 60 KiB do not fit twice.
        unlink("\(log.path).1")
        log.append(10_000...15_000)
        let before = log.now.utf8.count
        guard case .emptied(let problem) = rotation.rotate(log.path) else {
            Issue.record("\(before) bytes were rotated")
            return
        }
        #expect(
            problem
                == "cannot write \(log.path).1.new: no space left on device; \(log.path) was emptied"
        )
        #expect(log.now == "" && log.former == "none")
        #expect(Files.names(in: log.folder) == ["envoy.log"])
    }
}

/// A file system of its own, small enough to be full.
final class SmallDisk: Sendable {
    let path: String

    init(kilobytes: Int) throws {
        path = Harness.newFolder()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try #require(
            mount("tmpfs", path, "tmpfs", 0, "size=\(kilobytes)k") == 0,
            "cannot mount: \(SystemError.text(errno))"
        )
    }

    func remove() {
        umount2(path, 2)
        rmdir(path)
    }
}

@Suite(.timeLimit(.minutes(1)))
struct RotatedLogReaderTests {
    private let rotation = LogRotation(capBytes: 100)

    @Test func `a reader goes on over a rotation, missing and repeating nothing`() async throws {
        let log = try LogFile()
        log.append(1...100)
        let reader = log.reader()
        #expect(await rest(of: reader) == lines(1...100))
        // Read to the end, then rotated.
        #expect(rotation.rotate(log.path) == .rotated)
        #expect(await rest(of: reader) == "")
        log.append(101...200)
        #expect(await rest(of: reader) == lines(101...200))
        // Rotated with a rest that has not been read.
        log.append(201...300)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(301...310)
        #expect(await rest(of: reader) == lines(201...310))
        // The new content has grown beyond the reader's place.
        #expect(rotation.rotate(log.path) == .unneeded)
        log.append(311...320)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(321...900)
        #expect(await rest(of: reader) == lines(311...900))
    }

    @Test func `a reader that slept over two rotations goes on with what there is`() async throws {
        let log = try LogFile()
        log.append(1...100)
        let reader = log.reader()
        #expect(await rest(of: reader) == lines(1...100))
        log.append(101...200)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(201...400)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(401...410)
        #expect(await rest(of: reader) == lines(201...410))
    }

    @Test func `a log that somebody else emptied is read from its start`() async throws {
        let log = try LogFile()
        log.append(1...100)
        let reader = log.reader()
        #expect(await rest(of: reader) == lines(1...100))
        #expect(ftruncate(log.writer.number, 0) == 0)
        log.append(101...110)
        #expect(await rest(of: reader) == lines(101...110))
    }

    @Test(arguments: [(5, 206), (10, 201), (11, 200), (30, 181), (110, 101), (500, 101), (0, 211)])
    func `the last lines are those of the former file where the log is short`(
        count: Int,
        first: Int
    ) async throws {
        let log = try LogFile()
        log.append(101...200)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(201...210)
        let expected = first > 210 ? "" : lines(first...210)
        #expect(await rest(of: log.reader(tailLines: count)) == expected)
    }

    @Test func `a follower hears what was written before and after a rotation`() async throws {
        let log = try LogFile()
        log.append(1...20)
        let watcher = DescriptorWatcher()
        defer { watcher.stop() }
        let reader = LogReader(
            path: log.path,
            tailLines: 0,
            changes: FolderChanges(log.folder, watcher)
        )
        log.append(21...30)
        var text = await String(decoding: reader.next() ?? [], as: UTF8.self)
        #expect(text == lines(21...30))
        // The follower waits meanwhile, or does not yet.
        async let more = reader.next()
        log.append(31...40)
        text = await String(decoding: more ?? [], as: UTF8.self)
        #expect(rotation.rotate(log.path) == .rotated)
        log.append(41...50)
        while !text.hasSuffix("line 50\n"), let bytes = await reader.next() {
            text += String(decoding: bytes, as: UTF8.self)
        }
        #expect(text == lines(31...50))
    }

    @Test func `a follower of a busy log hears nothing twice and nothing out of order`()
        async throws
    {
        let log = try LogFile()
        let watcher = DescriptorWatcher()
        defer { watcher.stop() }
        let reader = LogReader(
            path: log.path,
            tailLines: nil,
            changes: FolderChanges(log.folder, watcher)
        )
        let (path, writer) = (log.path, log.writer)
        let isWritten = StopFlag()
        let rotations = Mutex(0)
        Thread {
            for number in 1...20_000 {
                let line = "line \(number)\n"
                write(writer.number, line, line.utf8.count)
            }
            isWritten.set()
        }.start()
        Thread {
            let rotation = LogRotation(capBytes: 20_000)
            while !isWritten.isSet {
                if rotation.rotate(path) == .rotated { rotations.withLock { $0 += 1 } }
                usleep(500)
            }
            write(writer.number, "end\n", 4)
        }.start()
        var text = ""
        while !text.hasSuffix("end\n"), let bytes = await reader.next() {
            text += String(decoding: bytes, as: UTF8.self)
        }
        let numbers = text.matches(of: /line (\d+)\n/).compactMap { Int($0.1) }
        #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 })
        #expect(rotations.withLock(\.self) > 0)
    }
}
