internal import FoundationEssentials
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
    /// How a client asks.
    public struct Options: Sendable {
        /// Sent as `User-Agent`.
        public var userAgent: String
        /// For how long one request may be tried; a watch only has to begin in that time.
        public var requestTimeout = Duration.seconds(30)
        /// How many requests may be under way at once, beside watches.
        public var maxRequestsInFlight = 32
        /// How many bytes of a watch may wait for a slow reader before it ends.
        public var backlogLimit = 32 * 1024 * 1024
        /// How long a line of a watch, one object, may be in bytes.
        public var lineLimit = 16 * 1024 * 1024
        /// For how long an exec plugin may run.
        public var pluginTimeLimit = Duration.seconds(60)
        /// When what failed is tried again.
        var retryRule = RetryRule()
        /// Spreads retries: a number from 0 to 1.
        var chance: @Sendable () -> Double = { .random(in: 0...1) }
        /// Waits between attempts.
        var pause: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }

        /// Makes options of a program of `version`.
        public init(version: String = "dev") { userAgent = "heddle/\(version)" }
    }

    private let sender: RequestSender
    private let options: Options
    private let logger: Logger

    /// Makes a client of the server that `configuration` names.
    public init(
        _ configuration: KubernetesConfiguration,
        options: Options = Options(),
        logger: Logger
    ) {
        self.options = options
        self.logger = logger
        sender = RequestSender(configuration, options, logger)
    }

    /// How many requests were made, each attempt counted; a watch counts when it begins.
    public var requestCounts: [RequestKind: Int] { sender.requestCounts }

    // MARK: Reading

    /// One page of the objects of `resource`, of all namespaces when `namespace` is nil.
    public func list<Object: JSONReadable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        limit: Int = 500,
        next: String? = nil
    ) async throws -> ObjectPage<Object> {
        var request = APIRequest(.list, resource, ObjectKey(namespace: namespace ?? "", name: ""))
        if let fieldSelector { request.query.append(("fieldSelector", fieldSelector)) }
        if limit > 0 { request.query.append(("limit", "\(limit)")) }
        if let next { request.query.append(("continue", next)) }
        return try page(try await sender.body(of: request), request)
    }

    /// What happens after `resourceVersion`; it ends when the server ends it, and throws what the
    /// server says.
    ///
    /// It begins with the first event that is asked for. A reader that falls far behind gets an error.
    public func watch<Object: JSONReadable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        from resourceVersion: String,
        timeoutSeconds: Int
    ) -> AsyncThrowingStream<WatchEvent<Object>, any Error> {
        var request = APIRequest(.watch, resource, ObjectKey(namespace: namespace ?? "", name: ""))
        let seconds = min(max(timeoutSeconds, 1), 24 * 3600)
        if let fieldSelector { request.query.append(("fieldSelector", fieldSelector)) }
        request.query += [
            ("watch", "true"), ("allowWatchBookmarks", "true"),
            ("resourceVersion", resourceVersion), ("timeoutSeconds", "\(seconds)"),
        ]
        let reader = WatchReader<Object>(
            request,
            sender,
            // The server ends it in time, if it can.
            limit: .seconds(seconds) + options.requestTimeout,
            lineLimit: options.lineLimit
        )
        return AsyncThrowingStream { try await reader.next() }
    }

    /// One object, unless `deadline` comes first.
    public func get<Object: Decodable & Sendable>(
        _ type: Object.Type,
        _ resource: KubernetesResource,
        _ key: ObjectKey,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> Object {
        let request = APIRequest(.get, resource, key)
        let body = try await sender.body(of: request, deadline: deadline)
        return try decode(type, body, request)
    }

    /// The server's version, such as `v1.31.4-eks-2d5f260`, unless `deadline` comes first.
    public func serverVersion(
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> String {
        struct Version: Decodable { var gitVersion: String }
        var request = APIRequest(.get, .pods, ObjectKey(name: ""))
        request.rootPath = "version"
        let body = try await sender.body(of: request, deadline: deadline)
        return try decode(Version.self, body, request).gitVersion
    }

    // MARK: Writing

    /// Creates `object`, unless `deadline` comes first.
    public func create<Object: Codable & Sendable>(
        _ object: Object,
        _ resource: KubernetesResource,
        namespace: String = "",
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> Object {
        var request = APIRequest(.create, resource, ObjectKey(namespace: namespace, name: ""))
        request.body = try encode(object, request)
        let body = try await sender.body(of: request, deadline: deadline)
        return try decode(Object.self, body, request)
    }

    /// Puts `object` in place of the one with its name, unless `deadline` comes first; with a
    /// `resourceVersion`, of that one only.
    public func replace<Object: Codable & Sendable>(
        _ object: Object,
        _ resource: KubernetesResource,
        _ key: ObjectKey,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> Object {
        var request = APIRequest(.update, resource, key)
        request.body = try encode(object, request)
        let body = try await sender.body(of: request, deadline: deadline)
        return try decode(Object.self, body, request)
    }

    /// How a patch is meant.
    public enum PatchType: Hashable, Sendable {
        /// RFC 7386.
        case merge
        /// RFC 6902.
        case json
        /// Server-side apply, by `fieldManager`; the body has `apiVersion`, `kind` and `metadata.name`.
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
        var request = APIRequest(.patch, resource, key, subresource: subresource)
        switch type {
        case .merge: request.contentType = "application/merge-patch+json"
        case .json: request.contentType = "application/json-patch+json"
        case .apply(let fieldManager, let force):
            // JSON is YAML.
            request.contentType = "application/apply-patch+yaml"
            request.query = [("fieldManager", fieldManager), ("force", "\(force)")]
        }
        request.body = try encode(body, request)
        let answer = try await sender.body(of: request, deadline: deadline)
        return try decode(ObjectWithMetadata.self, answer, request).metadata
    }

    /// Deletes an object; one that is gone already counts as deleted.
    public func delete(_ resource: KubernetesResource, _ key: ObjectKey) async throws {
        do {
            _ = try await sender.body(of: APIRequest(.delete, resource, key))
        } catch let error as KubernetesError where error.isNotFound {}
    }

    // MARK: Reviews

    /// Whom `token` proves, if it was made for one of `audiences` (TokenReview), unless `deadline` comes
    /// first.
    ///
    /// - Throws: `KubernetesError` when the server can't be asked; a token that proves nobody is no error.
    public func review(
        token: String,
        audiences: [String],
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> TokenIdentity? {
        // No server makes longer ones, and every byte would go on to it.
        guard !token.isEmpty, token.utf8.count <= 32 * 1024 else { return nil }
        var request = APIRequest(.create, .tokenReviews, ObjectKey(name: ""))
        // It is created in name only.
        request.isRepeatable = true
        let review = TokenReview(token: token, audiences: audiences)
        request.body = try encode(review, request)
        let body = try await sender.body(of: request, deadline: deadline)
        return try decode(TokenReview.self, body, request).identity(for: audiences)
    }

    // MARK: JSON

    private func encode(
        _ value: some Encodable,
        _ request: APIRequest
    ) throws(KubernetesError) -> [UInt8] {
        do {
            return Array(try JSONEncoder().encode(value))
        } catch {
            throw KubernetesError(
                .malformed,
                request: request.summary,
                problem: "cannot be written as JSON: \(error)"
            )
        }
    }

    private func page<Object: JSONReadable>(
        _ body: [UInt8],
        _ request: APIRequest
    ) throws(KubernetesError) -> ObjectPage<Object> {
        var place = ""
        do {
            let members = try JSONSlices.members(of: body[...])
            guard let metadata = members["metadata"] else { throw MissingMetadata() }
            place = "metadata"
            let read = try JSONDecoder().decode(ListMetadata.self, from: Data(metadata))
            place = "items"
            let items = try JSONSlices.elements(of: members["items"] ?? [])
            let objects = try items.enumerated().map { index, item in
                place = "items[\(index)]"
                return try Object(json: item)
            }
            return ObjectPage(
                items: objects,
                resourceVersion: read.resourceVersion ?? "",
                next: read.next.flatMap { $0.isEmpty ? nil : $0 }
            )
        } catch {
            throw unreadable(request, error, at: place)
        }
    }

    private func decode<Value: Decodable>(
        _ type: Value.Type,
        _ body: [UInt8],
        _ request: APIRequest
    ) throws(KubernetesError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch {
            throw unreadable(request, error)
        }
    }

    private func unreadable(
        _ request: APIRequest,
        _ error: any Error,
        at place: String = ""
    ) -> KubernetesError {
        KubernetesError(
            .malformed,
            request: request.summary,
            problem: "the answer cannot be read: \(decodingProblem(error, at: place))"
        )
    }
}

/// An answer that is no list.
struct MissingMetadata: Error {}

/// `metadata` of a list.
private struct ListMetadata: Decodable {
    var resourceVersion: String?
    var next: String?

    private enum CodingKeys: String, CodingKey {
        case resourceVersion
        case next = "continue"
    }
}

private struct ObjectWithMetadata: Decodable {
    var metadata: ObjectMetadata
}
