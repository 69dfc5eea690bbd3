/// What the trace receiver took at once, on its way to the store and to exporters.
public struct ReceivedSpans: Hashable, Sendable {
    /// The spans.
    public var spans: [Span]
    /// The document as it came, where it was a segment of X-Ray's; it goes on unchanged.
    public var segmentDocument: String?

    /// Makes a parcel.
    public init(spans: [Span], segmentDocument: String? = nil) {
        self.spans = spans
        self.segmentDocument = segmentDocument
    }
}
