internal import HTTPClient
public import Logging

/// One page of a list.
public struct ObjectPage<Object: Sendable>: Sendable {
    /// The objects.
    public var items: [Object]
    /// The version of the whole list, from which a watch may go on.
    public var resourceVersion: String
    /// What asks for the next page; nil after the last.
    public var next: String?

    /// Makes a page.
    public init(items: [Object], resourceVersion: String, next: String? = nil) {
        self.items = items
        self.resourceVersion = resourceVersion
        self.next = next
    }
}

/// What a watch tells.
public enum WatchEvent<Object: Sendable>: Sendable {
    /// The server has taken the watch on; the first event of each.
    case begun
    /// An object is there, or has changed: its new state.
    case added(Object)
    case modified(Object)
    /// It is gone: its last state.
    case deleted(Object)
    /// Nothing changed up to this version.
    case bookmark(resourceVersion: String)
}

/// Asks one Kubernetes API server over libcurl: HTTP/2, connections kept, bodies compressed.
///
/// Requests that the server turns down for a while (429, and 5xx of those that may be repeated) are
/// repeated with back-off and jitter, `Retry-After` honoured, as long as `deadline` allows. A request
/// ends when its task is cancelled.
///
/// Errors: `KubernetesError`, or `CancellationError`.
public final class KubernetesClient: Sendable {
    /// Makes a client of the server that `configuration` names.
    public init(_ configuration: KubernetesConfiguration, logger: Logger) {
        preconditionFailure("vocabulary")
    }

    /// One page of the objects of `resource`, of all namespaces when `namespace` is nil.
    public func list<Object: Decodable & Sendable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        labelSelector: String? = nil,
        resourceVersion: String? = nil,
        limit: Int = 500,
        next: String? = nil
    ) async throws -> ObjectPage<Object> {
        preconditionFailure("vocabulary")
    }

    /// What happens after `resourceVersion`; it ends when the server ends it, and throws what the server says.
    public func watch<Object: Decodable & Sendable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        labelSelector: String? = nil,
        from resourceVersion: String,
        timeoutSeconds: Int
    ) -> AsyncThrowingStream<WatchEvent<Object>, any Error> {
        preconditionFailure("vocabulary")
    }

    /// One object.
    public func get<Object: Decodable & Sendable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        _ key: ObjectKey
    ) async throws -> Object {
        preconditionFailure("vocabulary")
    }

    /// Creates `object`.
    public func create<Object: Codable & Sendable>(
        _ object: Object,
        _ resource: KubernetesResource,
        namespace: String = ""
    ) async throws -> Object {
        preconditionFailure("vocabulary")
    }

    /// Puts `object` in place of the one with its name; with a `resourceVersion`, of that one only.
    public func replace<Object: Codable & Sendable>(
        _ object: Object,
        _ resource: KubernetesResource,
        _ key: ObjectKey
    ) async throws -> Object {
        preconditionFailure("vocabulary")
    }

    /// How a patch is meant.
    public enum PatchType: Hashable, Sendable {
        /// RFC 7386.
        case merge
        /// RFC 6902.
        case json
        /// Server-side apply, by `fieldManager`.
        case apply(fieldManager: String, force: Bool)
    }

    /// Changes an object, or its subresource such as `status`; gives what came of it.
    ///
    /// - Parameters:
    ///   - resource: The kind.
    ///   - key: The object.
    ///   - subresource: `status`, or nil for the object itself.
    ///   - type: How `body` is meant.
    ///   - body: The patch.
    ///   - deadline: When to give up, however often it was tried.
    /// - Returns: The object's metadata as it is now.
    /// - Throws: `KubernetesError`.
    @discardableResult
    public func patch(
        _ resource: KubernetesResource,
        _ key: ObjectKey,
        subresource: String? = nil,
        _ type: PatchType,
        _ body: some Encodable & Sendable,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> ObjectMetadata {
        preconditionFailure("vocabulary")
    }

    /// Deletes an object; one that is gone already counts as deleted.
    public func delete(_ resource: KubernetesResource, _ key: ObjectKey) async throws {
        preconditionFailure("vocabulary")
    }

    /// Whom `token` proves, if it was made for one of `audiences` (TokenReview).
    ///
    /// - Throws: `KubernetesError` when the server can't be asked; a token that proves nobody is no error.
    public func review(token: String, audiences: [String]) async throws -> TokenIdentity? {
        preconditionFailure("vocabulary")
    }
}

/// Whom a service account's token proves.
public struct TokenIdentity: Hashable, Sendable {
    /// The namespace of the service account.
    public var namespace: String
    /// The service account.
    public var serviceAccount: String
    /// The Pod that the token is bound to; nil of a token that is bound to none.
    public var podName: String?
    /// That Pod's uid.
    public var podUID: String?

    /// Makes an identity.
    public init(
        namespace: String,
        serviceAccount: String,
        podName: String? = nil,
        podUID: String? = nil
    ) {
        self.namespace = namespace
        self.serviceAccount = serviceAccount
        self.podName = podName
        self.podUID = podUID
    }
}
