public import Logging

/// What an informer tells of the objects of one kind.
public enum InformerEvent<Object: KubernetesObject>: Sendable {
    /// These are all objects: the first list, or one after the watch was lost.
    case replaced([ObjectKey: Object])
    /// An object is there, or has changed.
    case changed(Object)
    /// An object is gone.
    case deleted(ObjectKey)
    /// The server can't be listed or watched at present; what was told before still holds.
    case failed(KubernetesError)
    /// It can again.
    case recovered
}

/// Keeps up with all objects of one kind: lists them once, then watches.
///
/// Guarantee: no half list is ever told, and no deletion that the server has not told or that a whole
/// list does not show. A version that the server has forgotten (410) leads to a new list.
public struct Informer<Object: KubernetesObject>: Sendable {
    private let client: KubernetesClient
    private let resource: KubernetesResource
    private let logger: Logger

    /// Makes an informer of all objects of `resource` that the selectors let through, in all namespaces when `namespace` is nil.
    public init(
        _ type: Object.Type = Object.self,
        client: KubernetesClient,
        resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        labelSelector: String? = nil,
        logger: Logger
    ) {
        self.client = client
        self.resource = resource
        self.logger = logger
    }

    /// Runs until cancelled, and hands each event to `tell` in order.
    public func run(_ tell: @Sendable (InformerEvent<Object>) async -> Void) async {
        preconditionFailure("vocabulary")
    }
}
