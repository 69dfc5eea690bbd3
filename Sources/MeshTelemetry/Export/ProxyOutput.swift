/// What a proxy's process writes: access logs, and messages of Envoy itself.
public enum ProxyOutput {
    /// How much of a line is looked at.
    private static let headBytes = 1024

    /// Whether the path of an access log is the output of the proxy's process.
    ///
    /// To anyone else these are the own output: they are not to be opened.
    public static func isOutput(_ path: String) -> Bool {
        [
            "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1",
            "/proc/self/fd/2",
        ].contains(path)
    }

    /// Whether Envoy wrote a line for itself: `[2026-11-23 13:16:08.123][12][info][main] ...`, or an
    /// ejection's JSON.
    ///
    /// App Mesh's default access log begins with `[2026-11-23T13:14:19.123Z] "GET`: with a `T`.
    ///
    /// - Parameter line: The line, with or without its end.
    /// - Returns: Whether it is none of an access log.
    public static func isEnvoysOwn(_ line: some Collection<UInt8>) -> Bool {
        // What Envoy says over several lines, as of its runtime at start, goes on with a space.
        if line.first == UInt8(ascii: " ") { return true }
        guard line.first == UInt8(ascii: "{") else {
            return AccessLine.matches(line, "[0000-00-00 00:00:00.000][0")
        }
        let head = Array(line.prefix(headBytes))
        // The rarest first: nearly all lines have no more than it looked for.
        return [
            "\"num_ejections\":", "\"upstream_url\":", "\"cluster_name\":", "\"action\":",
        ].allSatisfy { word in
            head.indices.contains { head[$0...].starts(with: word.utf8) }
        }
    }
}
