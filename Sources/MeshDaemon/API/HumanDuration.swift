/// A duration as kubectl prints ages: at most two units, coarser as it grows (`47s`, `5m12s`, `3h`,
/// `2d4h`, `400d`).
///
/// Follows `duration.HumanDuration` of k8s.io/apimachinery to the letter, so that `heddle` and
/// kubectl agree.
func humanDuration(seconds: Int) -> String {
    func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
    }
    let minutes = seconds / 60
    let hours = minutes / 60
    let days = hours / 24
    switch seconds {
    case ..<(-1): return "<invalid>"
    case ..<0: return "0s"
    case ..<120: return "\(seconds)s"
    case _ where minutes < 10: return pair(minutes, "m", seconds % 60, "s")
    case _ where minutes < 180: return "\(minutes)m"
    case _ where hours < 8: return pair(hours, "h", minutes % 60, "m")
    case _ where hours < 48: return "\(hours)h"
    case _ where hours < 192: return pair(days, "d", hours % 24, "h")
    case _ where days < 730: return "\(days)d"
    case _ where days < 2920: return pair(days / 365, "y", days % 365, "d")
    default: return "\(days / 365)y"
    }
}
