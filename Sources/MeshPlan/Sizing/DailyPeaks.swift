/// The highest value of each of the last days.
struct DailyPeaks: Hashable, Sendable {
    /// For how many days a peak counts, the present one included: a week has its busy day in it.
    static let dayCount = 8

    /// Days since 1970 and the peak of each, in order of days.
    private(set) var days: [Int] = []
    private(set) var values: [Int] = []

    init() {}

    /// Peaks of `days`; nil when they can't be ones on `lastDay`.
    init?(days: [Int], values: [Int], lastDay: Int) {
        guard days.count == values.count, zip(days, days.dropFirst()).allSatisfy(<),
            days.allSatisfy({ (lastDay - Self.dayCount + 1...lastDay).contains($0) }),
            values.allSatisfy({ (0...1 << 40).contains($0) })
        else { return nil }
        self.days = days
        self.values = values
    }

    /// The highest peak; 0 when there is none.
    var maximum: Int { values.max() ?? 0 }

    /// Adds `value` of `day`, which is not before the last.
    mutating func add(_ value: Int, day: Int) {
        advance(to: day)
        if days.last == day {
            values[values.count - 1] = max(values[values.count - 1], value)
        } else {
            days.append(day)
            values.append(value)
        }
    }

    /// Forgets what is too old on `day`.
    mutating func advance(to day: Int) {
        let old = days.prefix { day - $0 >= Self.dayCount }.count
        days.removeFirst(old)
        values.removeFirst(old)
    }

    /// Takes all days for `shift` days earlier, as the clock was wrong.
    mutating func shift(by shift: Int) { for index in days.indices { days[index] -= shift } }
}
