internal import MeshModel

/// What a workload whose health checks fail shows; nil when none does.
func unhealthyMessage(_ health: [Port: ApplicationHealth], _ probes: [Probe]) -> String? {
    let failures = probes.compactMap { probe -> String? in
        switch health[probe.port] {
        case .healthy, nil: nil
        case .unhealthy(let failure):
            "its application fails the health check of port \(probe.port): "
                + "\(probe.target) \(probe.outcome(failure))"
        }
    }
    guard let first = failures.first else { return nil }
    return failures.count == 1 ? first : "\(first) (and \(failures.count - 1) more)"
}

extension Probe {
    /// What is asked, and where.
    fileprivate var target: String {
        let place = address.contains(":") ? "[\(address)]" : address
        let authority = "\(place):\(applicationPort)"
        return switch check.protocol {
        case .http: "GET \(check.httpPath) at \(authority)"
        case .http2: "GET \(check.httpPath) at \(authority) over HTTP/2"
        case .grpc: "the gRPC health service at \(authority)"
        case .tcp: authority
        }
    }

    fileprivate func outcome(_ failure: ApplicationHealth.Failure) -> String {
        switch failure {
        case .timeout: "did not answer in time"
        case .status(let code): "answered \(code)"
        case .unknown:
            switch check.protocol {
            case .http, .http2: "gave no answer"
            case .grpc: "does not say that it is serving"
            case .tcp: "takes no connection"
            }
        }
    }
}
