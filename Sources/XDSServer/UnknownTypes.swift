internal import GRPCCore
internal import Logging
internal import Synchronization

/// The types of a stream's requests that are not served: each is logged once, and many end the stream.
final class UnknownTypes: Sendable {
    /// More than an Envoy has.
    static let limit = 16

    private let types = Mutex<Set<String>>([])

    /// Notes a type.
    ///
    /// - Returns: why the stream has to end; nil when it need not.
    func note(_ type: String, _ logger: Logger) -> StreamSlot.Ending? {
        let text = LogText(type).description
        let (isNew, count) = types.withLock { types in
            (types.insert(text).inserted, types.count)
        }
        guard isNew else { return nil }
        logger.notice("xDS request of a type that is not served", metadata: ["type": "\(text)"])
        guard count >= UnknownTypes.limit else { return nil }
        return .refused(
            .invalidArgument,
            "the stream asked for \(count) types of resources that are not served"
        )
    }
}
