internal import FoundationEssentials
internal import Glibc
internal import MeshTelemetry

/// What this process uses, by the names that Prometheus' own clients have for it.
///
/// https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
struct OwnProcess: Hashable, Sendable {
    /// Processor time, by the process and by the kernel for it.
    var cpuSeconds: Double
    /// When it started, in seconds since 1970.
    var startTimeSeconds: Double
    /// Address space.
    var virtualMemoryBytes: Double
    /// Pages in use.
    var residentMemoryBytes: Double
    /// Open files and sockets, and how many there may be; nil when that can't be read.
    var openDescriptors: Int?
    /// See `openDescriptors`.
    var maximumDescriptors: Double?

    /// Reads what is so now; nil where there is no `/proc`.
    static var current: OwnProcess? {
        guard let stat = text("/proc/self/stat"), let system = text("/proc/stat"),
            var process = OwnProcess(
                stat: stat,
                systemStat: system,
                ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))),
                pageBytes: Double(sysconf(Int32(_SC_PAGESIZE)))
            )
        else { return nil }
        // One of them reads the folder.
        let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        process.openDescriptors = descriptors.map { $0.count - 1 }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            process.maximumDescriptors = Double(limit.rlim_cur)
        }
        return process
    }

    /// Reads `/proc/self/stat` and `/proc/stat`; nil when they are not what proc(5) says.
    init?(stat: String, systemStat: String, ticksPerSecond: Double, pageBytes: Double) {
        // The command's name is in parentheses and may hold anything.
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split { $0 == " " || $0 == "\n" }
            .map { Double($0) }
        let boot = systemStat.split(separator: "\n").first { $0.hasPrefix("btime ") }
        // proc(5) counts from 1, and the third field is the first after the name.
        func field(_ number: Int) -> Double? {
            fields.indices.contains(number - 3) ? fields[number - 3] : nil
        }
        guard let user = field(14), let kernel = field(15), let start = field(22),
            let virtual = field(23), let resident = field(24), ticksPerSecond > 0,
            let bootSeconds = boot.flatMap({ Double($0.dropFirst("btime ".count)) })
        else { return nil }
        cpuSeconds = (user + kernel) / ticksPerSecond
        startTimeSeconds = bootSeconds + start / ticksPerSecond
        virtualMemoryBytes = virtual
        residentMemoryBytes = resident * pageBytes
    }

    private static func text(_ path: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Adds its metrics to `text`.
    func add(to text: inout MetricsText) {
        func add(
            _ name: String,
            _ help: String,
            _ value: Double?,
            _ type: MetricsText.MetricType = .gauge
        ) {
            guard let value else { return }
            text.add(name, type, help: help, [([:], value)])
        }
        add(
            "process_cpu_seconds_total",
            "Processor time of the daemon, in its own code and in the kernel.",
            cpuSeconds,
            .counter
        )
        add(
            "process_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            startTimeSeconds
        )
        add("process_virtual_memory_bytes", "Address space of the daemon.", virtualMemoryBytes)
        add("process_resident_memory_bytes", "Memory in use by the daemon.", residentMemoryBytes)
        add("process_open_fds", "Open files and sockets.", openDescriptors.map(Double.init))
        add("process_max_fds", "How many files and sockets may be open.", maximumDescriptors)
    }
}
