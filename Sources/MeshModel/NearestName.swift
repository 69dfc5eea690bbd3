/// The name among `candidates` that `name` was probably meant to be; nil when none is near.
///
/// Near means at most a third of the letters have to change, and at most three.
public func nearestName(to name: String, among candidates: some Sequence<String>) -> String? {
    let limit = min(3, max(1, name.count / 3))
    var best: (distance: Int, name: String)?
    for candidate in candidates {
        let distance = editDistance(Array(name.utf8), Array(candidate.utf8), limit: limit)
        guard distance <= limit, candidate != name else { continue }
        if best.map({ (distance, candidate) < ($0.distance, $0.name) }) ?? true {
            best = (distance, candidate)
        }
    }
    return best?.name
}

/// How many bytes to insert, delete or replace to turn one name into the other; more than `limit`
/// when that is out of reach.
private func editDistance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int {
    guard abs(left.count - right.count) <= limit else { return limit + 1 }
    var previous = Array(0...right.count)
    for (row, byte) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            let replaced = previous[column] + (byte == other ? 0 : 1)
            current.append(min(replaced, previous[column + 1] + 1, current[column] + 1))
        }
        previous = current
    }
    return previous.last ?? 0
}
