/// One YAML document of a file.
struct DocumentText {
    /// The document without its `---` marker; what follows the marker on its line is included.
    var bytes: ArraySlice<UInt8>
    /// The line of the file, from 1, on which `bytes` begins.
    var firstLine: Int
}

/// Splits a file into its documents, so that a mistake in one does not lose the others.
///
/// A line that begins with `---` or `...` ends a document wherever it stands: YAML allows neither
/// inside a scalar. Documents that hold nothing but blanks, comments and directives are left out.
/// A byte order mark at the start of a document is dropped.
func splitDocuments(_ bytes: [UInt8]) -> [DocumentText] {
    var documents: [DocumentText] = []
    var line = 1
    var start = bytes.startIndex
    var startLine = 1
    var hasContent = false

    func finish(at end: Int) {
        if hasContent {
            documents.append(DocumentText(bytes: bytes[start..<end], firstLine: startLine))
        }
        hasContent = false
    }

    var index = bytes.startIndex
    while index < bytes.endIndex {
        if index == start, bytes[index...].starts(with: byteOrderMark) { index += 3; start = index }
        guard index < bytes.endIndex else { break }
        let end = endOfLine(in: bytes, from: index)
        if let marker = marker(at: index, of: bytes) {
            finish(at: index)
            start = index + 3
            startLine = line
            hasContent = marker == dash && isContent(bytes[start..<end])
        } else if !hasContent {
            hasContent = isContent(bytes[index..<end]) && bytes[index] != percent
            // A comment or a directive alone is no document; what follows begins a fresh one.
            if !hasContent, end < bytes.endIndex { start = end + 1; startLine = line + 1 }
        }
        index = end + 1
        line += 1
    }
    finish(at: bytes.endIndex)
    return documents
}

private let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
private let dash = UInt8(ascii: "-")
private let percent = UInt8(ascii: "%")

/// The index of the line feed that ends the line at `index`, or the end of `bytes`.
///
/// A carriage return alone ends a line too, as in YAML; one before a line feed belongs to it.
private func endOfLine(in bytes: [UInt8], from index: Int) -> Int {
    bytes.withUnsafeBufferPointer { buffer in
        var end = index
        while end < buffer.count, buffer[end] != UInt8(ascii: "\n") {
            if buffer[end] == UInt8(ascii: "\r"),
                end + 1 >= buffer.count || buffer[end + 1] != UInt8(ascii: "\n")
            {
                break
            }
            end += 1
        }
        return end
    }
}

/// The byte that a document marker at `index` is made of, if there is one.
private func marker(at index: Int, of bytes: [UInt8]) -> UInt8? {
    let first = bytes[index]
    guard first == dash || first == UInt8(ascii: "."), index + 3 <= bytes.endIndex,
        bytes[index + 1] == first, bytes[index + 2] == first
    else { return nil }
    guard index + 3 == bytes.endIndex || isBlank(bytes[index + 3]) else { return nil }
    return first
}

private func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
        || byte == UInt8(ascii: "\n")
}

/// Whether a line says anything: it is neither blank nor a comment.
private func isContent(_ line: ArraySlice<UInt8>) -> Bool {
    guard let first = line.first(where: { !isBlank($0) }) else { return false }
    return first != UInt8(ascii: "#")
}
