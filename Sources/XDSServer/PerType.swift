internal import MeshModel

/// A value for each type of resource.
struct PerType<Value> {
    private var clusters: Value
    private var endpoints: Value
    private var listeners: Value
    private var routes: Value
    private var secrets: Value

    init(_ value: Value) {
        clusters = value
        endpoints = value
        listeners = value
        routes = value
        secrets = value
    }

    subscript(type: ResourceType) -> Value {
        get {
            switch type {
            case .clusters: clusters
            case .endpoints: endpoints
            case .listeners: listeners
            case .routes: routes
            case .secrets: secrets
            }
        }
        _modify {
            switch type {
            case .clusters: yield &clusters
            case .endpoints: yield &endpoints
            case .listeners: yield &listeners
            case .routes: yield &routes
            case .secrets: yield &secrets
            }
        }
    }
}

extension PerType: Sendable where Value: Sendable {}
extension PerType: Equatable where Value: Equatable {}
