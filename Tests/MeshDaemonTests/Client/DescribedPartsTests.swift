import MeshModel
import Testing

@testable import MeshDaemon

@Suite struct `Parts of a description` {
    private let description = Description(nowSeconds: testNowSeconds)

    private let resources: JSONValue = [
        "requested": [
            "requests": ["cpu": "250m", "memory": "256Mi"], "limits": ["memory": "1Gi"],
        ],
        "observed": [
            "cpu": ["p50": "13m", "p95": "31m", "max": "1"],
            "memory": ["p50": "27Mi", "p95": "28Mi", "max": "31Mi"],
        ],
        "recommended": ["requests": ["cpu": "50m", "memory": "64Mi"]], "verdict": "Oversized",
    ]

    @Test func `a node's proxies are a table`() throws {
        let node: JSONValue = [
            "kind": "VirtualNode", "metadata": ["name": "blue", "namespace": "demo"],
            "status": [
                "sidecarCount": 2,
                "sidecars": [
                    [
                        "name": "blue-1", "state": "Running", "address": "127.66.0.1",
                        "version": "3fa9c1", "envoyVersion": "1.40.0", "restarts": 2,
                        "resources": resources,
                    ], ["name": "blue-2", "state": "Pending", "address": "127.66.0.2"],
                ],
            ],
        ]
        #expect(
            try description.text(of: node).hasSuffix(
                """
                Status:
                  sidecarCount: 2
                Sidecars:
                  NAME     STATE     ADDRESS      VERSION   ENVOY    RESTARTS   CPU      MEMORY
                  blue-1   Running   127.66.0.1   3fa9c1    1.40.0   2          31m      28Mi
                  blue-2   Pending   127.66.0.2   <none>    <none>   <none>     <none>   <none>

                """
            )
        )
    }

    @Test func `a proxy's resources are told in words`() {
        #expect(
            description.resources(resources) == """
                asks for cpu 250m, memory 256Mi; limits: memory 1Gi
                uses cpu 31m, memory 28Mi at the 95th percentile
                should ask for cpu 50m, memory 64Mi (Oversized)
                """
        )
    }
}
