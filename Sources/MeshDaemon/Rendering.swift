public import MeshModel
public import MeshPlan
internal import MeshSources

/// What `heddle render` prints: each proxy's configuration as one document.
public struct RenderedProxies: Sendable {
    /// The proxies asked for, sorted, with Envoy's JSON.
    public var documents: [(proxy: ProxyID, text: String)]
    /// Every problem and note, sorted by file and line.
    public var diagnostics: [Diagnostic]

    /// Whether no problem is an error.
    public var isValid: Bool { !diagnostics.contains { $0.severity == .error } }

    /// All documents as one text: plain JSON for one proxy, a YAML stream for more.
    public var text: String {
        if documents.count == 1 { return documents[0].text + "\n" }
        return documents.map { "# proxy \($0.proxy)\n---\n\($0.text)\n" }.joined()
    }
}

/// Translates the manifests in `paths` without running anything.
///
/// - Parameters:
///   - paths: Files or folders.
///   - proxy: `namespace/name` of the one Workload to render, or its name in the namespace
///     `default`; nil renders all.
///   - options: Settings that come from no object.
/// - Returns: Each configuration as `envoy --mode validate` accepts it. Addresses are those of a
///   first run.
/// - Throws: `DaemonError` when there is no such proxy.
public func render(
    paths: [String],
    proxy: String?,
    options: PlanOptions = PlanOptions()
) throws -> RenderedProxies {
    let world = loadWorld(paths: paths)
    let plan = plan(world, nowSeconds: 0, options: options)
    var chosen = plan.proxies.keys.sorted()
    if let proxy {
        let names = chosen.map(\.description)
        chosen = chosen.filter { $0.description == proxy || $0.description == "default/\(proxy)" }
        if chosen.isEmpty {
            let known =
                names.isEmpty ? "there are none" : "there are \(names.joined(separator: ", "))"
            throw DaemonError("no proxy \"\(proxy)\" in \(paths.joined(separator: " ")); \(known)")
        }
    }
    let documents = try chosen.compactMap { id -> (proxy: ProxyID, text: String)? in
        guard let proxy = plan.proxies[id] else { return nil }
        return (id, try staticConfiguration(of: proxy).json.prettyText)
    }
    return RenderedProxies(documents: documents, diagnostics: plan.diagnostics)
}
