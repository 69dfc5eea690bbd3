/// Where a line ends: in which of the files that had a path one after the other, and at which byte.
struct LogPlace: Hashable, Sendable, Comparable {
    /// Grows with each file.
    var generation: Int
    /// Bytes from the begin of the file.
    var offset: Int

    static func < (left: LogPlace, right: LogPlace) -> Bool {
        (left.generation, left.offset) < (right.generation, right.offset)
    }
}

/// A line without its newline, and where it ends.
struct LogLine: Hashable, Sendable {
    var bytes: [UInt8]
    var place: LogPlace
}

/// A place in a file, as it is kept over restarts.
struct KeptPlace: Hashable, Codable, Sendable {
    /// The file's number on its disk.
    var inode: UInt64
    /// Bytes from the begin of the file.
    var offset: Int
    /// The last bytes before it, by which it is known in a copy of the file.
    var tail: [UInt8]
}

/// Reads the lines that are appended to a file, over its rotations.
///
/// A file that another one replaces is read to its end first, and one that was copied to `<path>.1` and
/// truncated is read on in the copy. Lines are bounded, as is what is read at once.
struct LogTail: Sendable {
    /// How much of a file that was there before is read: enough for what happened while the proxy
    /// started.
    static let headStart = 1 << 20
    /// Longer lines are cut.
    static let lineLimit = 128 << 10
    private static let chunkBytes = 16 << 10
    private static let chunkLimit = 64
    private static let tailBytes = 64
    /// For how many looks a file that was renamed may still be written to.
    private static let patience = 10

    private struct Source: Sendable {
        var file: LogFile
        var generation: Int
    }

    let path: String
    private var file: Source?
    /// What is read to its end before `file`.
    private var former: Source?
    /// Whether `former` is a copy, to which nothing is written.
    private var isCopy = false
    /// How often the end of `former` was seen.
    private var idleLooks = 0
    private var generation: Int
    /// The place in `former` if there is one, else in `file`.
    private var offset = 0
    private var tail: [UInt8] = []
    /// The begin of a line whose end has not been read.
    private var partial: [UInt8] = []
    private var isCutting = false

    /// Goes on at `kept`, or near the end of a file that is there, or at the begin of one to come.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - kept: Where it was left; nil when it was not followed before.
    ///   - generation: The first file's; later ones get the next ones.
    init(_ path: String, from kept: KeptPlace?, generation: Int = 0) {
        self.path = path
        self.generation = generation
        guard let newest = LogFile(path) else { return }
        file = Source(file: newest, generation: generation)
        if let kept {
            resume(newest, kept)
        } else {
            skipOldLines(of: newest)
        }
    }

    /// The next lines; as many as are read at once, and none where there is nothing new.
    mutating func next() -> [LogLine] {
        if former == nil { follow() }
        if let former {
            let lines = read(former)
            guard lines.isEmpty else { return lines }
            guard isOver(former) else { return [] }
            let rest = lastLine(of: former)
            self.former = nil
            begin(at: 0, [])
            return rest.isEmpty ? next() : rest
        }
        return file.map { read($0) } ?? []
    }

    /// A place that `next` told, as it is kept; nil when its file is gone.
    func kept(_ place: LogPlace) -> KeptPlace? {
        guard
            let file = [former, file].compactMap(\.self).first(where: {
                $0.generation == place.generation
            })?.file
        else { return nil }
        let length = min(place.offset, Self.tailBytes)
        let tail = file.read(at: place.offset - length, count: length)
        return KeptPlace(inode: file.inode, offset: place.offset, tail: tail)
    }

    // MARK: Files

    /// Goes on in the file, or in what a rotation made of it; else at the begin of the new one.
    private mutating func resume(_ newest: LogFile, _ kept: KeptPlace) {
        if newest.inode == kept.inode, newest.holds(kept.tail, before: kept.offset) {
            return begin(at: kept.offset, kept.tail)
        }
        guard let copy = LogFile(path + ".1"), copy.holds(kept.tail, before: kept.offset) else {
            return
        }
        former = Source(file: copy, generation: generation)
        isCopy = copy.inode != kept.inode
        generation += 1
        file?.generation = generation
        begin(at: kept.offset, kept.tail)
    }

    /// Looks whether the file was replaced or truncated.
    private mutating func follow() {
        guard let current = file else {
            if let newest = LogFile(path) { replace(with: newest) }
            return
        }
        if current.file.size < offset || !current.file.holds(tail, before: offset) {
            return followTruncation(of: current)
        }
        guard let inode = LogFile.inode(path), inode != current.file.inode,
            let newest = LogFile(path)
        else { return }
        // Whoever writes goes on in the renamed file for a moment.
        former = current
        isCopy = false
        idleLooks = 0
        generation += 1
        file = Source(file: newest, generation: generation)
    }

    private mutating func followTruncation(of current: Source) {
        generation += 1
        file = Source(file: current.file, generation: generation)
        if let copy = LogFile(path + ".1"), copy.holds(tail, before: offset) {
            former = Source(file: copy, generation: current.generation)
            isCopy = true
        } else {
            begin(at: 0, [])
        }
    }

    private mutating func replace(with newest: LogFile) {
        generation += 1
        file = Source(file: newest, generation: generation)
        begin(at: 0, [])
    }

    /// Whether nothing more comes to a former file whose end was reached.
    private mutating func isOver(_ former: Source) -> Bool {
        guard offset >= former.file.size else { return false }
        idleLooks += 1
        if isCopy { return true }
        let isFollowed = (file?.file.size ?? 0) > 0
        return idleLooks > (isFollowed ? 1 : Self.patience)
    }

    private mutating func begin(at offset: Int, _ tail: [UInt8]) {
        self.offset = offset
        self.tail = tail
        partial = []
        isCutting = false
    }

    private mutating func skipOldLines(of file: LogFile) {
        let size = file.size
        guard size > Self.headStart else { return }
        // The line in whose midst that is, is left out.
        let start = size - Self.headStart
        let bytes = file.read(at: start, count: Self.chunkBytes)
        let newline = bytes.firstIndex(of: UInt8(ascii: "\n"))
        let end = start + (newline.map { $0 + 1 } ?? bytes.count)
        let length = min(end, Self.tailBytes)
        begin(at: end, file.read(at: end - length, count: length))
    }

    // MARK: Lines

    /// Lines from the place on; none at the end, or where many bytes have no end of a line.
    private mutating func read(_ source: Source) -> [LogLine] {
        for _ in 0..<Self.chunkLimit {
            let bytes = source.file.read(at: offset, count: Self.chunkBytes)
            guard !bytes.isEmpty else { return [] }
            let lines = lines(in: bytes, source.generation)
            offset += bytes.count
            tail = Array((tail + bytes.suffix(Self.tailBytes)).suffix(Self.tailBytes))
            if !lines.isEmpty { return lines }
        }
        return []
    }

    private mutating func lines(in bytes: [UInt8], _ generation: Int) -> [LogLine] {
        var lines: [LogLine] = []
        var rest = bytes[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            take(rest[..<newline])
            let place = LogPlace(generation: generation, offset: offset + newline + 1)
            if !partial.isEmpty { lines.append(LogLine(bytes: partial, place: place)) }
            partial = []
            isCutting = false
            rest = rest[(newline + 1)...]
        }
        take(rest)
        return lines
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        guard !isCutting else { return }
        partial += bytes.prefix(Self.lineLimit - partial.count)
        isCutting = partial.count == Self.lineLimit
    }

    /// What a file ends with, without a newline.
    private mutating func lastLine(of source: Source) -> [LogLine] {
        guard !partial.isEmpty else { return [] }
        let place = LogPlace(generation: source.generation, offset: offset)
        return [LogLine(bytes: partial, place: place)]
    }
}
