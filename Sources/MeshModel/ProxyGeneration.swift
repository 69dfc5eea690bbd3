/// One Envoy process of a proxy, whose counters begin at 0.
///
/// One that takes over by a hot restart counts on for its predecessor from where that was last asked,
/// as Envoys hand over what they have not flushed, and flush when they are asked.
public struct ProxyGeneration: Hashable, Sendable {
    /// The number of the process.
    public var pid: Int
    /// When it started, in clock ticks since the machine's: numbers are given out again.
    public var startTicks: UInt64
    /// Whether it ran before the daemon did, so that its counters hold what is not the daemon's.
    public var isAdopted: Bool

    /// Makes a generation.
    public init(pid: Int, startTicks: UInt64, isAdopted: Bool = false) {
        self.pid = pid
        self.startTicks = startTicks
        self.isAdopted = isAdopted
    }
}
