internal import Foundation
internal import Glibc
internal import ServiceLifecycle
public import UnixSignals

/// A terminal on which one picture takes the place of the one before, until the user ends it.
public struct LiveTerminal: Sendable {
    /// What a terminal tells.
    public enum Event: Hashable, Sendable {
        /// The user pressed a key; Ctrl-C is 3.
        case key(UInt8)
        /// The window has another size.
        case resized
        /// The process shall end.
        case interrupted
    }

    /// How many characters fit.
    public struct Size: Hashable, Sendable {
        /// Characters in a line.
        public var columns: Int
        /// Lines.
        public var rows: Int

        /// Makes a size.
        public init(columns: Int, rows: Int) {
            self.columns = columns
            self.rows = rows
        }
    }

    /// How many characters fit at the moment.
    public var size: @Sendable () -> Size
    /// Writes text as it is.
    public var write: @Sendable (String) -> Void
    /// What the terminal tells, once.
    public var events: AsyncStream<Event>

    /// Makes a terminal.
    public init(
        size: @escaping @Sendable () -> Size,
        write: @escaping @Sendable (String) -> Void,
        events: AsyncStream<Event>
    ) {
        self.size = size
        self.write = write
        self.events = events
    }

    /// Shows `lines`, each cut to the width, in place of what is there.
    func show(_ lines: [String]) {
        // Overwriting without clearing first does not flicker.
        write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }
}

extension LiveTerminal {
    /// Calls `body` with the terminal, on a screen of its own, with keys that arrive one by one; at the
    /// end the terminal is as it was.
    ///
    /// - Parameters:
    ///   - input: Where keys come from, standard input if not said; nothing is read when it is no terminal.
    ///   - output: The terminal, standard output if not said.
    ///   - signals: Those that end the process, and SIGWINCH.
    ///   - body: What is done on it.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public static func open<Value>(
        input: Int32 = 0,
        output: Int32 = 1,
        signals: [UnixSignal] = [.sigwinch, .sigint, .sigterm, .sighup],
        _ body: (LiveTerminal) async throws -> Value
    ) async throws -> Value {
        let (events, sink) = AsyncStream.makeStream(
            of: Event.self,
            bufferingPolicy: .bufferingNewest(64)
        )
        let terminal = LiveTerminal(
            size: { size(of: output) },
            write: { writeAll($0, to: output) },
            events: events
        )
        let keys = KeyReader(input, sink)
        terminal.write("\u{1B}[?1049h\u{1B}[?25l")
        defer {
            keys?.stop()
            terminal.write("\u{1B}[?25h\u{1B}[?1049l")
        }
        let trapped = await UnixSignalsSequence(trapping: signals)
        async let _: Void = {
            for await signal in trapped {
                sink.yield(signal == .sigwinch ? .resized : .interrupted)
            }
        }()
        return try await body(terminal)
    }
}

extension LiveTerminal {
    /// How many characters fit on a terminal; 80 in 24 lines when it does not tell.
    static func size(of descriptor: Int32) -> Size {
        var window = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0,
            window.ws_row > 0
        else { return Size(columns: 80, rows: 24) }
        return Size(columns: Int(window.ws_col), rows: Int(window.ws_row))
    }
}

private func writeAll(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 || (count < 0 && errno == EINTR) else { return }
        bytes = bytes.dropFirst(max(count, 0))
    }
}

/// Reads keys on a thread of its own while the terminal hands them over unseen and one by one.
private final class KeyReader: Sendable {
    private let input: Int32
    private let before: Settings
    private let stopEnd: Int32

    /// `termios` is a C structure of numbers.
    private struct Settings: @unchecked Sendable {
        var termios = Glibc.termios()
    }

    /// Begins to read; nil when `input` is no terminal.
    init?(_ input: Int32, _ sink: AsyncStream<LiveTerminal.Event>.Continuation) {
        var settings = Settings()
        guard tcgetattr(input, &settings.termios) == 0 else { return nil }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        self.input = input
        before = settings
        stopEnd = ends[1]
        // Ctrl-C comes as a key too, so that the picture's end is the same whatever ends it.
        settings.termios.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        tcsetattr(input, TCSANOW, &settings.termios)
        let readEnd = ends[0]
        Thread { readKeys(input, until: readEnd, sink) }.start()
    }

    /// Ends the reading and puts the terminal's settings back.
    func stop() {
        close(stopEnd)
        var settings = before
        tcsetattr(input, TCSANOW, &settings.termios)
    }
}

/// Yields each key until the other end of `stop` is closed.
private func readKeys(
    _ input: Int32,
    until stop: Int32,
    _ sink: AsyncStream<LiveTerminal.Event>.Continuation
) {
    defer { close(stop) }
    var sequence = EscapeSequence()
    while true {
        var waiting = [
            pollfd(fd: input, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&waiting, 2, -1) > 0 || errno == EINTR else { return }
        guard waiting[1].revents == 0 else { return }
        guard waiting[0].revents != 0 else { continue }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(input, &bytes, bytes.count)
        guard count > 0 else { return }
        for byte in bytes.prefix(count) where sequence.isKey(byte) { sink.yield(.key(byte)) }
    }
}

/// Tells keys from the sequences that arrows and the like send, which mean nothing here.
///
/// ECMA-48: `ESC [`, numbers, and a last byte from `@` to `~`; some keys send `ESC O` and one byte.
struct EscapeSequence {
    private enum State {
        case outside
        case escaped
        case single
        case control
    }

    private var state = State.outside

    /// Whether `byte`, the next one, is a key by itself.
    mutating func isKey(_ byte: UInt8) -> Bool {
        switch (state, byte) {
        case (.control, 0x40...0x7E), (.single, _):
            state = .outside
            return false
        case (.control, 0x20...0x3F): return false
        case (.escaped, UInt8(ascii: "[")): state = .control; return false
        case (.escaped, UInt8(ascii: "O")): state = .single; return false
        case (_, 0x1B): state = .escaped; return false
        case (.outside, _), (.escaped, _), (.control, _):
            state = .outside
            return true
        }
    }
}
