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
    ///
    /// It is told once, and again when something else has to be done about it: after `unreachable`, a
    /// missing right. A kind that is not installed is told so, too (`isNotFound`), and is no proof
    /// that its objects are gone: a server that starts answers so for a moment.
    case failed(KubernetesError)
    /// It can again.
    case recovered
}

/// Keeps up with all objects of one kind: lists them once, then watches.
///
/// It keeps no object itself.
///
/// Guarantee: no half list is ever told, and no deletion that the server has not told or that a whole
/// list does not show. A version that the server has forgotten (410) leads to a new list.
public struct Informer<Object: KubernetesObject>: Sendable {
    private let client: KubernetesClient
    private let resource: KubernetesResource
    private let namespace: String?
    private let fieldSelector: String?
    private let pageSize: Int
    private let watchSeconds: ClosedRange<Int>
    private let logger: Logger

    /// Makes an informer of all objects of `resource` that the selector lets through.
    ///
    /// - Parameters:
    ///   - type: What is decoded of each object.
    ///   - client: Asks the API.
    ///   - resource: The kind.
    ///   - namespace: The one namespace to look at; nil looks at all.
    ///   - fieldSelector: As of `kubectl --field-selector`.
    ///   - pageSize: How many objects a page of a list has.
    ///   - watchSeconds: For how long one watch lasts, spread by chance; a server that does not end it
    ///     then is held for gone. So this bounds for how long a dead connection goes unnoticed.
    ///   - logger: Where failures and new lists are logged.
    public init(
        _ type: Object.Type = Object.self,
        client: KubernetesClient,
        resource: KubernetesResource,
        namespace: String? = nil,
        fieldSelector: String? = nil,
        pageSize: Int = 500,
        watchSeconds: ClosedRange<Int> = 60...90,
        logger: Logger
    ) {
        self.client = client
        self.resource = resource
        self.namespace = namespace
        self.fieldSelector = fieldSelector
        self.pageSize = pageSize
        self.watchSeconds = watchSeconds
        var logger = logger
        logger[metadataKey: "kind"] = "\(resource.qualifiedName)"
        self.logger = logger
    }

    /// Runs until cancelled, and hands each event to `tell` in order.
    ///
    /// What `tell` takes its time over is not read meanwhile.
    public func run(_ tell: @Sendable (InformerEvent<Object>) async -> Void) async {
        var machine = ListWatch<Object>(name: resource.qualifiedName)
        while !Task.isCancelled {
            switch machine.step {
            case .wait(let duration):
                try? await Task.sleep(for: duration)
                machine.waited()
            case .list(let next, let isPaged):
                await list(&machine, next, isPaged: isPaged, tell)
            case .watch(let version):
                await watch(&machine, from: version, tell)
            }
        }
    }

    private func list(
        _ machine: inout ListWatch<Object>,
        _ next: String?,
        isPaged: Bool,
        _ tell: @Sendable (InformerEvent<Object>) async -> Void
    ) async {
        let events: [InformerEvent<Object>]
        do {
            events = machine.arrived(
                try await client.list(
                    Object.self,
                    resource,
                    namespace: namespace,
                    fieldSelector: fieldSelector,
                    limit: isPaged ? pageSize : 0,
                    next: next
                )
            )
        } catch {
            guard let error = known(error, "list") else { return }
            events = machine.listFailed(error)
        }
        await pass(events, to: tell)
    }

    private func watch(
        _ machine: inout ListWatch<Object>,
        from version: String,
        _ tell: @Sendable (InformerEvent<Object>) async -> Void
    ) async {
        let begin = ContinuousClock.now
        let events = client.watch(
            Object.self,
            resource,
            namespace: namespace,
            fieldSelector: fieldSelector,
            from: version,
            timeoutSeconds: .random(in: watchSeconds)
        )
        do {
            for try await event in events { await pass(machine.told(event), to: tell) }
            machine.watchEnded(after: begin.duration(to: .now))
        } catch {
            guard let error = known(error, "watch") else { return }
            if error.isExpired {
                logger.info("the server has forgotten the version watched; listing anew")
            }
            await pass(machine.watchFailed(error), to: tell)
        }
    }

    /// What is told, and logged for those who read logs.
    private func pass(
        _ events: [InformerEvent<Object>],
        to tell: @Sendable (InformerEvent<Object>) async -> Void
    ) async {
        for event in events {
            switch event {
            case .replaced(let objects):
                logger.debug("listed", metadata: ["objects": "\(objects.count)"])
            case .failed(let error) where error.isForbidden:
                logger.warning(
                    "a right is missing; grant it to Heddle's service account by a ClusterRole",
                    metadata: [
                        "verb": "\(error.request.prefix { $0 != " " })", "problem": "\(error)",
                    ]
                )
            case .failed(let error):
                logger.warning(
                    "the Kubernetes API does not tell",
                    metadata: ["problem": "\(error)"]
                )
            case .recovered: logger.notice("the Kubernetes API tells again")
            case .changed, .deleted: break
            }
            await tell(event)
        }
    }

    /// What went wrong; nil when the informer was cancelled.
    private func known(_ error: any Error, _ verb: String) -> KubernetesError? {
        guard !Task.isCancelled, !(error is CancellationError) else { return nil }
        let request = "\(verb) \(resource.qualifiedName)"
        return error as? KubernetesError
            ?? KubernetesError(.malformed, request: request, problem: "\(error)")
    }
}
