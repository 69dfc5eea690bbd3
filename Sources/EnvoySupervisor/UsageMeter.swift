import Glibc
import MeshModel

/// Measures what one Envoy uses, from its start or its adoption to its end.
///
/// A measurement is three small reads and one request. A process that takes the place of another one,
/// by a restart or a hot restart, has a meter of its own.
///
/// After a hot restart the old process has no admin interface any more, and its meter no answer. Until
/// it is gone the new one's statistics grow by what the old one answers, with no jump for what it had
/// answered before, and its heap is that of both; processor time and memory are the new one's own.
struct UsageMeter: Sendable {
    /// What was measured.
    struct Measurement: Hashable, Sendable {
        /// What it uses; nil at the first measurement, as rates need two.
        var usage: ProxyUsage?
        /// Whether it refuses work for overload, or has since the measurement before.
        var isShedding: Bool
    }

    private let process: ProcessReadings
    private let admin: EnvoyAdmin
    private let cpu: ControlGroupFolder?
    private var previous: UsageReading?

    /// A meter for a process; nil when there is none.
    ///
    /// - Parameters:
    ///   - pid: The number of the process, which runs or is a child that has not been waited for.
    ///   - admin: Its admin interface.
    ///   - controlGroup: The group in which it is.
    init?(pid: Int32, admin: EnvoyAdmin, controlGroup: ControlGroup?) {
        guard let process = ProcessReadings(pid: pid) else { return nil }
        self.process = process
        self.admin = admin
        cpu = controlGroup?.cpu
    }

    /// Measures what is used now, and what was since the measurement before.
    ///
    /// - Parameters:
    ///   - timeSeconds: The time, in seconds since 1970.
    ///   - now: The same on a clock that nobody sets.
    /// - Returns: nil when the admin interface does not answer within 2 s, or the process has ended.
    mutating func measure(
        timeSeconds: Double,
        now: ContinuousClock.Instant = .now
    ) async -> Measurement? {
        guard let stats = await admin.stats() else { return nil }
        return measure(stats, timeSeconds: timeSeconds, now: now)
    }

    /// The same with `stats` that were asked for just now.
    mutating func measure(
        _ stats: EnvoyStats,
        timeSeconds: Double,
        now: ContinuousClock.Instant = .now
    ) -> Measurement? {
        guard let cpuSeconds = process.cpuSeconds, let memory = process.memory else { return nil }
        let throttling = cpu.map { ControlGroupEvidence(throttlingOf: $0) }
        let reading = UsageReading(
            time: now,
            cpuSeconds: cpuSeconds,
            memory: memory,
            throttling: throttling ?? ControlGroupEvidence(),
            stats: stats
        )
        defer { previous = reading }
        return Measurement(
            usage: previous.flatMap { reading.usage(since: $0, timeSeconds: timeSeconds) },
            isShedding: reading.isShedding(since: previous)
        )
    }
}

/// Everything that is read for a measurement, before it is compared with the one before.
struct UsageReading: Hashable, Sendable {
    var time: ContinuousClock.Instant
    /// Processor time since the process started.
    var cpuSeconds: Double
    var memory: ProcessMemory
    /// Only what it says of throttling.
    var throttling: ControlGroupEvidence
    var stats: EnvoyStats

    /// The use from `previous` to this one; nil when no time went by.
    func usage(since previous: UsageReading, timeSeconds: Double) -> ProxyUsage? {
        let seconds = (time - previous.time) / .seconds(1)
        guard seconds > 0 else { return nil }
        let answered = Self.increase(stats.answered, since: previous.stats.answered)
        return ProxyUsage(
            timeSeconds: timeSeconds,
            intervalSeconds: seconds,
            cpuMillicores: max(0, cpuSeconds - previous.cpuSeconds) / seconds * 1000,
            memoryBytes: memory.ownBytes,
            residentBytes: memory.residentBytes,
            heapBytes: stats.heapBytes,
            connections: stats.connections,
            requestsPerSecond: Double(answered) / seconds,
            throttledShare: throttledShare(since: previous, seconds: seconds)
        )
    }

    /// Whether work is refused, or was since `previous`.
    func isShedding(since previous: UsageReading?) -> Bool {
        guard stats.refusing.isEmpty else { return true }
        guard let previous else { return false }
        return Self.increase(stats.refused, since: previous.stats.refused) > 0
    }

    /// The kernel adds the time up over processors, and counts the periods, of which a throttled one
    /// may be so in part: the truth is below both.
    private func throttledShare(since previous: UsageReading, seconds: Double) -> Double {
        let time = throttling.throttledSeconds - previous.throttling.throttledSeconds
        let periods = throttling.throttledPeriods - previous.throttling.throttledPeriods
        let limit = Double(periods * ControlGroups.periodMicroseconds) / 1e6
        return min(max(0, min(time, limit) / seconds), 1)
    }

    /// By how much counters grew; one that fell was reset, and one that is gone lost its listener.
    static func increase(_ counters: [Substring: Int], since previous: [Substring: Int]) -> Int {
        counters.reduce(0) { sum, counter in
            let before = previous[counter.key] ?? 0
            return sum + (counter.value < before ? counter.value : counter.value - before)
        }
    }
}

/// Memory of a process.
struct ProcessMemory: Hashable, Sendable {
    /// Anonymous and shared pages in use.
    var ownBytes: Int
    /// All pages in use.
    var residentBytes: Int

    /// Reads `/proc/<pid>/status`; nil when it says nothing of memory, as of a process that has ended.
    init?(status: String) {
        var kilobytes: [Substring: Int] = [:]
        for line in status.split(separator: "\n")
        where line.hasPrefix("VmRSS:") || line.hasPrefix("Rss") {
            let words = line.split { $0 == " " || $0 == "\t" }
            if words.count == 3 { kilobytes[words[0]] = Int(words[1]) }
        }
        guard let resident = kilobytes["VmRSS:"], let anonymous = kilobytes["RssAnon:"] else {
            return nil
        }
        residentBytes = resident * 1024
        ownBytes = (anonymous + (kilobytes["RssShmem:"] ?? 0)) * 1024
    }
}

/// What the kernel counts of a process.
///
/// `status` takes 20 µs; `smaps_rollup` counts the same pages by walking all of them, 30 times as
/// long, and holds up the process meanwhile. The processor clock is what `stat` shows as `utime` and
/// `stime`, in nanoseconds and not in ticks of 10 ms.
private struct ProcessReadings: Sendable {
    private let clock: clockid_t
    /// Kept open, it is never another process's that got the number.
    private let status: Descriptor

    init?(pid: Int32) {
        var clock = clockid_t()
        guard clock_getcpuclockid(pid, &clock) == 0,
            let status = try? Descriptor.open("/proc/\(pid)/status", O_RDONLY)
        else { return nil }
        self.clock = clock
        self.status = status
    }

    /// Processor time since its start; nil when it has ended.
    var cpuSeconds: Double? {
        var time = timespec()
        guard clock_gettime(clock, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    var memory: ProcessMemory? {
        ProcessMemory(status: String(decoding: status.read(at: 0, count: 8192), as: UTF8.self))
    }
}
