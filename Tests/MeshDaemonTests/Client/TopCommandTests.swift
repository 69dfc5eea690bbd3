import Foundation
import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Top` {
    private let recorder = Recorder()

    private func top(_ change: (inout TopCommand) -> Void = { _ in }) async throws {
        var command = TopCommand()
        change(&command)
        let transport = HandlerTransport(handler: ProxySample().handler())
        #expect(try await command.run(transport, recorder.console()) == .ok)
    }

    @Test func `prints once without a terminal`() async throws {
        try await top()
        #expect(
            recorder.output == """
                NAME           OWNER       CPU    CPU%   MEMORY   MEM%   HEAP   CONNS   REQ/S   STATE
                demo/green-1   green       125m   50%    27Mi     11%    11Mi   30      0.2     Running
                demo/blue-1    blue        31m    12%    64Mi     25%    12Mi   3       12.3    Running
                demo/red-1     red         -      -      -        -      -      -       -       ProxyStarting
                TOTAL          3 proxies   156m   31%    91Mi     18%    23Mi   33      12.5    2 of 3 running

                """
        )
    }

    @Test(arguments: [
        (TopCommand.Sort.cpu, ["green-1", "blue-1", "red-1"]),
        (.memory, ["blue-1", "green-1", "red-1"]), (.requests, ["blue-1", "green-1", "red-1"]),
        (.connections, ["green-1", "blue-1", "red-1"]), (.name, ["blue-1", "green-1", "red-1"]),
    ])
    func `sorts by what it is told`(sort: TopCommand.Sort, expected: [String]) async throws {
        try await top { $0.sort = sort }
        let names = recorder.output.split(separator: "\n").dropFirst().dropLast().map {
            String($0.dropFirst("demo/".count).prefix { $0 != " " })
        }
        #expect(names == expected)
    }

    @Test func `has numbers for programs`() async throws {
        try await top { $0.format = .json }
        let document = try JSONDecoder().decode(JSONValue.self, from: Data(recorder.output.utf8))
        #expect(document["total"]?["memoryBytes"] == .integer(91 << 20))
        #expect(document["proxies"]?.array?.first?["connections"] == 30)
        #expect(document["proxies"]?.array?.last?["cpuMillicores"] == nil)
    }

    @Test func `the share of memory is that of a limit where there is one`() throws {
        var sample = ProxySample()
        sample.plan.proxies[proxyID("blue-1")]?.resources.memoryLimitBytes = 128 << 20
        let proxies = sample.report.entries.map {
            ProxyDocument(document: $0.document(sampleUsage[$0.id]))
        }
        let text = TopPicture(proxies, sortedBy: .name).table().text()
        #expect(text.split(separator: "\n")[1].contains("64Mi     50%"))
    }

    private func picture(_ count: Int) -> TopPicture {
        var sample = ProxySample()
        let blue = sample.plan.proxies[proxyID("blue-1")]
        for number in 0..<count {
            let id = proxyID("more-\(number)")
            sample.plan.proxies[id] = blue
            sample.plan.proxies[id]?.id = id
        }
        let documents = sample.report.entries.map {
            ProxyDocument(document: $0.document(sampleUsage[$0.id]))
        }
        return TopPicture(documents, sortedBy: .cpu)
    }

    @Test(arguments: [(0, 24), (18, 24), (197, 24), (0, 3), (197, 1)])
    func `a picture fits the screen`(more: Int, rows: Int) {
        let size = LiveTerminal.Size(columns: 40, rows: rows)
        let lines = picture(more).lines(size, heading: "heading", note: nil)
        #expect(lines.count <= rows)
        #expect(lines.allSatisfy { $0.count <= 40 })
        #expect(lines.first == "heading")
        if rows == 24 {
            #expect(lines.last?.hasPrefix("TOTAL") == true)
            #expect(lines.contains { $0.hasPrefix("... 180 more") } == (more == 197))
        }
    }

    /// A terminal whose pictures arrive on a stream, and which tells what is yielded.
    private func terminal() -> (
        LiveTerminal, pictures: AsyncStream<String>, AsyncStream<LiveTerminal.Event>.Continuation
    ) {
        let (events, tell) = AsyncStream.makeStream(of: LiveTerminal.Event.self)
        let (pictures, shown) = AsyncStream.makeStream(of: String.self)
        let size = LiveTerminal.Size(columns: 100, rows: 24)
        return (
            LiveTerminal(size: { size }, write: { shown.yield($0) }, events: events), pictures, tell
        )
    }

    @Test(arguments: [LiveTerminal.Event.key(UInt8(ascii: "q")), .key(3), .interrupted])
    func `redraws, sorts by key, and ends when told to`(end: LiveTerminal.Event) async throws {
        let (terminal, pictures, tell) = terminal()
        var command = TopCommand()
        command.interval = .milliseconds(1)
        let live = command
        let transport = HandlerTransport(handler: ProxySample().handler())
        try await withThrowingTaskGroup(of: MeshDaemon.ExitStatus?.self) { group in
            group.addTask { try await live.run(transport, recorder.console(), on: terminal) }
            group.addTask {
                var count = 0
                for await picture in pictures {
                    count += 1
                    if count == 2 { tell.yield(.key(UInt8(ascii: "m"))) }
                    if picture.contains("by memory") { break }
                }
                tell.yield(.resized)
                tell.yield(end)
                return nil
            }
            for try await status in group { #expect(status ?? .ok == .ok) }
        }
    }

    @Test func `goes on and says so when the daemon is away`() async throws {
        let (terminal, pictures, tell) = terminal()
        let transport = SocketTransport(socketPath: "/nonexistent/api.sock")
        try await withThrowingTaskGroup(of: String.self) { group in
            group.addTask {
                _ = try await TopCommand().run(transport, recorder.console(), on: terminal)
                return ""
            }
            group.addTask {
                for await picture in pictures {
                    tell.yield(.interrupted)
                    return picture
                }
                return "nothing"
            }
            let texts = try await group.reduce(into: "") { $0 += $1 }
            #expect(texts.contains("no heddle is running on /nonexistent/api.sock"))
        }
        let failure = await #expect(throws: ClientFailure.self) {
            try await TopCommand().check(transport)
        }
        #expect(failure?.status == .noDaemon)
    }
}

@Suite(.timeLimit(.minutes(1))) struct `Live terminal` {
    /// A pseudoterminal: what a person has, and what a program has.
    private final class Pseudoterminal {
        let person: Int32
        let program: Int32

        init() throws {
            person = Glibc.open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
            try #require(person >= 0)
            // TIOCSPTLCK and TIOCGPTN, whose definitions Swift does not read.
            var (isLocked, number): (Int32, Int32) = (0, 0)
            try #require(
                ioctl(person, 0x4004_5431, &isLocked) == 0
                    && ioctl(person, 0x8004_5430, &number) == 0
            )
            program = Glibc.open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(program >= 0)
        }

        deinit {
            close(person)
            close(program)
        }

        var flags: tcflag_t {
            var settings = termios()
            tcgetattr(program, &settings)
            return settings.c_lflag
        }

        /// What the program has written, once it ends with `end`: it arrives a little later.
        func shown(until end: String) async -> String {
            var shown: [UInt8] = []
            while !shown.reversed().starts(with: end.utf8.reversed()) {
                var bytes = [UInt8](repeating: 0, count: 4096)
                let count = read(person, &bytes, bytes.count)
                shown += bytes.prefix(max(0, count))
                if count <= 0 { await Task.yield() }
            }
            return String(decoding: shown, as: UTF8.self)
        }
    }

    @Test(arguments: [
        ("qm", "qm"), ("\u{1B}[Aq", "q"), ("\u{1B}[1;5Cq", "q"), ("\u{1B}OPq", "q"),
        ("\u{1B}q", "q"), ("\u{1B}\u{1B}[Bm", "m"), ("\u{1B}[\u{3}", "\u{3}"),
    ])
    func `tells keys from arrows`(typed: String, keys: String) {
        var sequence = EscapeSequence()
        let found = typed.utf8.filter { sequence.isKey($0) }
        #expect(String(decoding: found, as: UTF8.self) == keys)
    }

    @Test func `gives keys as they are pressed, and leaves no trace`() async throws {
        let pair = try Pseudoterminal()
        var size = winsize(ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0)
        #expect(ioctl(pair.program, UInt(TIOCSWINSZ), &size) == 0)
        let before = pair.flags
        let (person, program) = (pair.person, pair.program)
        let keys = try await LiveTerminal.open(
            input: program,
            output: program,
            signals: []
        ) { terminal in
            #expect(terminal.size() == LiveTerminal.Size(columns: 120, rows: 40))
            terminal.show(["one", "two"])
            _ = write(person, "m", 1)
            var keys: [LiveTerminal.Event] = []
            for await event in terminal.events {
                keys.append(event)
                guard event == .key(UInt8(ascii: "m")) else { break }
                // An arrow, which means nothing, and Ctrl-C.
                _ = write(person, "\u{1B}[A\u{3}", 4)
            }
            return keys
        }
        #expect(keys == [.key(UInt8(ascii: "m")), .key(3)])
        #expect(pair.flags == before)
        let shown = await pair.shown(until: "\u{1B}[?25h\u{1B}[?1049l")
        #expect(shown.hasPrefix("\u{1B}[?1049h\u{1B}[?25l\u{1B}[Hone\u{1B}[K"))
    }
}
