internal import KubernetesAPI
internal import MeshSources
internal import MeshTelemetry

extension MetricsText {
    /// Adds how often the Kubernetes API was asked.
    mutating func add(_ requests: [RequestKind: Int]) {
        add(
            "heddle_kubernetes_requests_total",
            .counter,
            help: "Requests to the Kubernetes API, by verb and HTTP status; 0 is no answer.",
            requests.map { kind, count in
                (["verb": kind.verb, "code": String(kind.code)], Double(count))
            }
        )
    }

    /// Adds what was written to the cluster.
    mutating func add(_ writes: [KubernetesWriteCount]) {
        add(
            "heddle_kubernetes_writes_total",
            .counter,
            help: "Statuses, Events and finalizers written, by what came of it.",
            writes.map { write in
                let labels: MetricLabels = [
                    "operation": write.operation, "kind": write.kind, "result": write.result,
                ]
                return (labels, Double(write.count))
            }
        )
    }

    /// Adds which kinds of objects were read.
    mutating func add(_ readings: [KubernetesReading]) {
        add(
            "heddle_kubernetes_listed",
            .gauge,
            help:
                "1 of a kind whose objects were all listed once, else 0; essential ones are waited for.",
            readings.map { reading in
                let labels: MetricLabels = [
                    "resource": reading.resource, "essential": "\(reading.isEssential)",
                ]
                return (labels, reading.isListed ? 1 : 0)
            }
        )
    }

    /// Adds how many connections of proxies were refused before they had said who they are.
    mutating func addRefusedConnections(_ count: Int) {
        add(
            "heddle_xds_connections_refused_total",
            .counter,
            help: "Connections refused, as too many others had not proved yet who they are.",
            [([:], Double(count))]
        )
    }

    /// Adds whether this replica writes.
    mutating func addLeadership(_ isLeading: Bool) {
        add(
            "heddle_leader",
            .gauge,
            help: "1 of the replica that holds the Lease and writes, else 0.",
            [([:], isLeading ? 1 : 0)]
        )
    }
}
