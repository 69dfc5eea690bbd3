public import MeshModel

/// Decides upon objects that are about to be stored: fills in what App Mesh's webhooks filled in,
/// refuses what they refused, and gives Pods their proxy.
///
/// It asks nobody: equal requests in an equal world get equal answers.
public struct AdmissionController: Sendable {
    /// The bootstrap configuration of the proxy that is described, as JSON for `--config-yaml`.
    public typealias Bootstrap = @Sendable (ProxyBootstrapRequest) throws -> String

    /// What goes into Pods.
    public var settings: InjectionSettings
    private let bootstrap: Bootstrap

    /// Makes a controller.
    ///
    /// - Parameters:
    ///   - settings: What goes into Pods.
    ///   - bootstrap: Makes the bootstrap of a proxy.
    public init(settings: InjectionSettings, bootstrap: @escaping Bootstrap) {
        self.settings = settings
        self.bootstrap = bootstrap
    }

    /// Every path that is served: those of App Mesh's webhooks, and of Heddle's kinds.
    public static let paths: [String] = Route.all.keys.sorted()

    /// Answers what was sent to a webhook.
    ///
    /// - Parameters:
    ///   - review: An AdmissionReview.
    ///   - path: The path that it was sent to.
    ///   - world: The objects that there are; nil while they are being read.
    /// - Returns: The answer.
    public func answer(to review: JSONValue, path: String, in world: World?) -> AdmissionAnswer {
        guard let route = Route.all[path] else { return .noSuchPath }
        let request: AdmissionRequest
        do throws(AdmissionRequest.Malformed) {
            request = try AdmissionRequest(review)
        } catch {
            return .malformed(error.problem)
        }
        guard request.kind == route.kindName else {
            return .malformed(
                "request.kind.kind: \(path) takes a \(route.kindName), found \(quoted(request.kind)); "
                    + "mend the rules of the webhook configuration"
            )
        }
        guard let verdict = verdict(upon: request, route, in: world) else { return .unready }
        return .verdict(verdict, uid: request.uid, kind: request.kind)
    }

    /// The verdict; nil when it takes a world, and there is none yet.
    private func verdict(
        upon request: AdmissionRequest,
        _ route: Route,
        in world: World?
    ) -> AdmissionVerdict? {
        guard request.operation == .create || request.operation == .update, !request.isBeingDeleted
        else { return AdmissionVerdict(.allowed(patch: [])) }
        switch route {
        case .validate(let kind): return validation(of: request, kind)
        case .mutate(let kind):
            return defaulting(of: request, kind, settings, in: world)
        case .mutatePod:
            guard request.operation == .create else { return AdmissionVerdict(.allowed(patch: [])) }
            return world.map { world in
                injection(into: request, settings, in: world, bootstrap: bootstrap)
            }
        }
    }
}

/// What a path asks for.
private enum Route {
    case mutate(Kind)
    case validate(Kind)
    case mutatePod

    /// The kind of objects that the path takes.
    var kindName: String {
        switch self {
        case .mutate(let kind), .validate(let kind): kind.rawValue
        case .mutatePod: "Pod"
        }
    }

    static let all: [String: Route] = {
        var routes: [String: Route] = ["/mutate-v1-pod": .mutatePod]
        for kind in Kind.allCases where kind != .namespace && kind != .workload {
            let group = kind.group.split(separator: ".").joined(separator: "-")
            let name = "\(group)-\(kind.version)-\(kind.singular)"
            routes["/validate-\(name)"] = .validate(kind)
            // App Mesh's kinds alone have something to fill in.
            if kind.group == Kind.mesh.group { routes["/mutate-\(name)"] = .mutate(kind) }
        }
        return routes
    }()
}
