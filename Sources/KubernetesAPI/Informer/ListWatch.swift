/// Decides what an informer does, and does nothing itself: each event changes `step`, which is what to do
/// next, and returns what there is to tell.
///
/// A list that is broken off for a while goes on with the page that failed. One whose version the server
/// has forgotten begins anew, the second time as one page. A watch that is cut or ends goes on from the
/// last version it told. Whatever else a server says of a watch, its version may be no good: there is a
/// new list. A watch that is not allowed is made up for by lists.
struct ListWatch<Object: KubernetesObject>: Sendable {
    /// What to do next.
    enum Step: Hashable, Sendable {
        /// Ask for the page of `next`, or for the first; all objects are asked for at once unless
        /// `isPaged`.
        case list(next: String?, isPaged: Bool)
        /// Watch what comes after a version.
        case watch(from: String)
        /// Let time pass.
        case wait(Duration)
    }

    /// What failed, as far as it matters to whoever has to do something about it.
    private enum Trouble: Hashable {
        /// What passes by itself.
        case unavailable
        case status(Int, isWatch: Bool)
        case malformed, credentials
    }

    /// The pages that have arrived.
    private struct Pages {
        var objects: [ObjectKey: Object] = [:]
        /// The version of the first page.
        ///
        /// All pages are of one version. Should they not be, a watch from the first one's tells what
        /// the later ones have, too.
        var version: String?
        /// What asks for the next page.
        var next: String?
    }

    private enum Phase {
        case listing(Pages)
        case watching(from: String)
    }

    /// More objects of one kind than any cluster holds; a server with more has no end.
    static var objectLimit: Int { 5_000_000 }

    private let name: String
    private var phase = Phase.listing(Pages())
    private var pause: Duration?
    private var backOff: BackOff
    /// How many lists in a row were forgotten by the server before they were whole.
    private var expiredLists = 0
    /// Whether the watch has begun that is the step now.
    private var isWatchOpen = false
    /// Whether a watch began since the last list.
    private var hasWatched = false
    /// How many watches in a row were refused by the server.
    private var refusedWatches = 0
    /// What was told as `failed` last, and is not told as `recovered` yet.
    private var trouble: Trouble?

    /// Begins with a list; `name` is what messages call the kind.
    init(name: String, backOff: BackOff = BackOff()) {
        self.name = name
        self.backOff = backOff
    }

    /// What to do now.
    var step: Step {
        if let pause { return .wait(pause) }
        switch phase {
        case .listing(let pages): return .list(next: pages.next, isPaged: expiredLists < 2)
        case .watching(let version): return .watch(from: version)
        }
    }

    // MARK: Events

    /// The time to wait is over.
    mutating func waited() { pause = nil }

    /// The page came that was asked for.
    mutating func arrived(_ page: ObjectPage<Object>) -> [InformerEvent<Object>] {
        guard case .listing(var pages) = phase else { return [] }
        if let problem = problem(page, pages) {
            return listFailed(
                KubernetesError(.malformed, request: "list \(name)", problem: problem)
            )
        }
        for object in page.items { pages.objects[object.metadata.key] = object }
        pages.version = pages.version ?? page.resourceVersion
        pages.next = page.next
        guard page.next == nil, let version = pages.version else {
            phase = .listing(pages)
            return []
        }
        expiredLists = 0
        hasWatched = false
        phase = .watching(from: version)
        return [.replaced(pages.objects)]
    }

    private func problem(_ page: ObjectPage<Object>, _ pages: Pages) -> String? {
        if page.resourceVersion.isEmpty { return "the list has no resourceVersion" }
        if let next = page.next, next == pages.next { return "the next page is the same again" }
        guard pages.objects.count + page.items.count <= Self.objectLimit else {
            return "there are more than \(Self.objectLimit) objects"
        }
        return nil
    }

    /// No page came.
    mutating func listFailed(_ error: KubernetesError) -> [InformerEvent<Object>] {
        guard case .listing(let pages) = phase else { return [] }
        if error.isExpired, pages.next != nil {
            phase = .listing(Pages())
            expiredLists += 1
            if expiredLists > 1 { pause = backOff.next() }
            return []
        }
        if !error.isPassing { phase = .listing(Pages()) }
        return failed(error, isWatch: false)
    }

    /// The watch told something.
    mutating func told(_ event: WatchEvent<Object>) -> [InformerEvent<Object>] {
        guard case .watching(let version) = phase else { return [] }
        switch event {
        case .begun:
            isWatchOpen = true
            hasWatched = true
            refusedWatches = 0
            guard trouble != nil else { return [] }
            trouble = nil
            return [.recovered]
        case .bookmark(let newVersion):
            progressed(to: newVersion, from: version)
            return []
        case .added(let object), .modified(let object):
            progressed(to: object.metadata.resourceVersion, from: version)
            return [.changed(object)]
        case .deleted(let object):
            progressed(to: object.metadata.resourceVersion, from: version)
            return [.deleted(object.metadata.key)]
        }
    }

    private mutating func progressed(to version: String?, from old: String) {
        backOff.reset()
        guard let version, !version.isEmpty else { return }
        phase = .watching(from: version)
    }

    /// The watch ended as watches do, after `duration`.
    mutating func watchEnded(after duration: Duration) {
        isWatchOpen = false
        // A server that ends all watches at once would be asked without a pause.
        if duration < .seconds(1) {
            pause = backOff.next()
        } else {
            backOff.reset()
        }
    }

    /// The watch did not come about, or broke.
    mutating func watchFailed(_ error: KubernetesError) -> [InformerEvent<Object>] {
        guard case .watching = phase else { return [] }
        let wasOpen = isWatchOpen
        isWatchOpen = false
        if error.isExpired {
            phase = .listing(Pages())
            // A version that is forgotten as soon as it is listed.
            if !hasWatched { pause = backOff.next() }
            return []
        }
        if wasOpen, error.kind == .unreachable {
            pause = backOff.next()
            return []
        }
        if error.code != nil { refusedWatches += 1 }
        if !error.isPassing || error.code != nil && (wasOpen || refusedWatches > 2) {
            phase = .listing(Pages())
        }
        return failed(error, isWatch: true)
    }

    private mutating func failed(
        _ error: KubernetesError,
        isWatch: Bool
    ) -> [InformerEvent<Object>] {
        pause = backOff.next(askedSeconds: error.askedSeconds)
        let trouble: Trouble
        switch error.kind {
        case .status(let status) where !error.isPassing:
            trouble = .status(status.code, isWatch: isWatch)
        case .status, .unreachable: trouble = .unavailable
        case .malformed: trouble = .malformed
        case .credentials: trouble = .credentials
        }
        guard trouble != self.trouble else { return [] }
        self.trouble = trouble
        return [.failed(error)]
    }
}

extension KubernetesError {
    /// Whether the same request may well succeed a little later, without anybody doing anything.
    fileprivate var isPassing: Bool {
        switch kind {
        case .unreachable, .credentials: true
        case .malformed: false
        case .status(let status): status.code == 429 || status.code >= 500
        }
    }

    /// After how many seconds the server wants to be asked again.
    fileprivate var askedSeconds: Int? {
        guard case .status(let status) = kind else { return nil }
        return status.retryAfterSeconds
    }
}
