import Glibc

/// Where a command prints, and what it knows of its surroundings.
public struct Console: Sendable {
    /// Whether text may be coloured.
    public var isColoured: Bool
    /// Whether someone looks at the output as it changes.
    public var isTerminal: Bool
    /// How many characters fit into a line.
    public var columns: @Sendable () -> Int
    /// The present time in seconds since 1970.
    public var nowSeconds: @Sendable () -> Int
    /// Prints text as it is.
    public var print: @Sendable (String) -> Void
    /// Prints a line for people, beside the output.
    public var note: @Sendable (String) -> Void
    /// Shows a line for people in the place of the one before, where someone looks; nil erases it.
    public var progress: @Sendable (String?) -> Void

    /// Makes a console.
    public init(
        isColoured: Bool = false,
        isTerminal: Bool = false,
        columns: @escaping @Sendable () -> Int = { 100 },
        nowSeconds: @escaping @Sendable () -> Int,
        print: @escaping @Sendable (String) -> Void,
        note: @escaping @Sendable (String) -> Void,
        progress: @escaping @Sendable (String?) -> Void = { _ in }
    ) {
        self.isColoured = isColoured
        self.isTerminal = isTerminal
        self.columns = columns
        self.nowSeconds = nowSeconds
        self.print = print
        self.note = note
        self.progress = progress
    }

    /// Standard output and error of this process.
    public static func standard(environment: [String: String]) -> Console {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let showsProgress = isatty(STDERR_FILENO) == 1 && environment["TERM"] != "dumb"
        return Console(
            isColoured: isTerminal && allowsColour(environment),
            isTerminal: isTerminal,
            columns: { isTerminal ? LiveTerminal.size(of: STDOUT_FILENO).columns : 100 },
            nowSeconds: { time(nil) },
            print: { write($0, to: STDOUT_FILENO) },
            note: { write($0 + "\n", to: STDERR_FILENO) },
            progress: { line in
                if showsProgress { write("\r\u{1B}[K" + (line ?? ""), to: STDERR_FILENO) }
            }
        )
    }

    /// Whether the environment allows colour on a terminal. https://no-color.org
    static func allowsColour(_ environment: [String: String]) -> Bool {
        (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || (count < 0 && errno == EINTR) else { return }
            bytes = bytes.dropFirst(max(count, 0))
        }
    }
}

/// A colour of the terminal.
enum Colour: Int {
    case red = 31
    case green = 32
    case yellow = 33

    /// `text` in this colour.
    func applied(to text: String) -> String { "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" }
}
