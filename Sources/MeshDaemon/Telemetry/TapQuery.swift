public import MeshModel

/// Which requests of a tapped proxy are asked for.
public struct TapQuery: Hashable, Sendable {
    /// How many requests a second are shown when nothing is said, as `linkerd viz tap` has it.
    public static let defaultRate = 100
    /// How many may be asked for.
    public static let rates = 1...10_000

    /// What an answer's status shall be.
    public enum Status: Hashable, Sendable {
        /// This one.
        case code(Int)
        /// One of this hundred, such as 5 of `5xx`.
        case hundred(Int)
        /// There was no answer.
        case none
    }

    /// Only this method.
    public var method: String?
    /// Only paths that begin so.
    public var path: String?
    /// Only one of these; empty is any.
    public var statuses: [Status]
    /// Only those whose host, cluster or destination has this in it.
    public var target: String?
    /// How many requests a second at most.
    public var maximumRate: Int

    /// Makes a query; without arguments for all requests.
    public init(
        method: String? = nil,
        path: String? = nil,
        statuses: [Status] = [],
        target: String? = nil,
        maximumRate: Int = TapQuery.defaultRate
    ) {
        self.method = method
        self.path = path
        self.statuses = statuses
        self.target = target
        self.maximumRate = maximumRate
    }

    /// Whether every request is asked for.
    var isForAll: Bool { method == nil && path == nil && statuses.isEmpty && target == nil }

    /// Whether `record` is asked for.
    func matches(_ record: RequestRecord) -> Bool {
        if let method, record.method != method { return false }
        if let path, !(record.path ?? "").hasPrefix(path) { return false }
        if let target {
            let places = [record.authority ?? "", record.cluster, record.destination]
            guard places.contains(where: { $0.contains(target) }) else { return false }
        }
        return statuses.isEmpty || statuses.contains { $0.matches(record.status) }
    }
}

extension TapQuery.Status {
    /// Reads `503`, `5xx` or `none`; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let text = text.lowercased()
        if text == "none" {
            self = .none
        } else if text.count == 3, text.hasSuffix("xx"), let digit = text.first?.wholeNumberValue,
            (1...5).contains(digit)
        {
            self = .hundred(digit)
        } else if let code = Int(text), (100...599).contains(code) {
            self = .code(code)
        } else {
            return nil
        }
    }

    /// Reads several with commas between; nil when one is none.
    public static func list(_ text: String) -> [TapQuery.Status]? {
        let words = text.split(separator: ",", omittingEmptySubsequences: false)
        let statuses = words.compactMap { TapQuery.Status($0) }
        return statuses.count == words.count ? statuses : nil
    }

    /// As `init` reads it.
    var text: String {
        switch self {
        case .code(let code): "\(code)"
        case .hundred(let digit): "\(digit)xx"
        case .none: "none"
        }
    }

    func matches(_ status: Int?) -> Bool {
        switch self {
        case .code(let code): status == code
        case .hundred(let digit): status.map { $0 / 100 == digit } ?? false
        case .none: status == nil
        }
    }
}

/// What a tap shows beside requests: at its begin, and when one of these is another.
public struct TapNotice: Hashable, Codable, Sendable {
    /// `namespace/name` of the Workloads whose proxies are tapped, sorted.
    public var proxies: [String]
    /// The part of all requests of which the proxies tell, from 0 to 1.
    public var share: Double
    /// How many requests were not shown so far because more than the rate were there.
    public var overRate: Int
    /// How many requests were not shown so far because the reader was slow.
    public var lost: Int

    /// Makes a notice.
    public init(proxies: [String], share: Double = 1, overRate: Int = 0, lost: Int = 0) {
        self.proxies = proxies
        self.share = share
        self.overRate = overRate
        self.lost = lost
    }
}

/// A line of a tap.
public enum TapLine: Hashable, Sendable {
    case request(RequestRecord)
    case notice(TapNotice)
}
