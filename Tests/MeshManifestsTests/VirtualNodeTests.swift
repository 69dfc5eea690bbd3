import MeshManifests
import MeshModel
import Testing

@Suite struct VirtualNodeTests {
    @Test func `every field of a virtual node is decoded`() throws {
        let text = manifest(
            "VirtualNode",
            "blue",
            """
            awsName: blue-node
            podSelector:
              matchLabels: {app: color}
              matchExpressions:
                - {key: version, operator: In, values: [blue, "2"]}
                - {key: old, operator: DoesNotExist}
            listeners:
              - portMapping: {port: 8080, protocol: http}
                healthCheck:
                  healthyThreshold: 2
                  unhealthyThreshold: 3
                  intervalMillis: 5000
                  timeoutMillis: 2000
                  path: /ping
                  port: 8080
                  protocol: http
                outlierDetection:
                  maxServerErrors: 5
                  interval: {unit: s, value: 10}
                  baseEjectionDuration: {unit: ms, value: 1500}
                  maxEjectionPercent: 50
                connectionPool: {http: {maxConnections: 10, maxPendingRequests: 20}}
                timeout: {http: {perRequest: {unit: s, value: 3}, idle: {unit: s, value: 0}}}
                tls:
                  mode: STRICT
                  certificate: {file: {certificateChain: /c.pem, privateKey: /k.pem}}
                  validation:
                    trust: {sds: {secretName: ca}}
                    subjectAlternativeNames: {match: {exact: [front]}}
              - portMapping: {port: 8081, protocol: tcp}
                connectionPool: {tcp: {maxConnections: 4}}
                timeout: {tcp: {idle: {unit: s, value: 9}}}
                tls: {mode: PERMISSIVE, certificate: {acm: {certificateARN: "arn:a"}}}
              - portMapping: {port: 8082, protocol: http2}
                connectionPool: {http2: {maxRequests: 5}}
                tls: {mode: DISABLED, certificate: {sds: {secretName: own}}}
              - portMapping: {port: 8083, protocol: grpc}
                connectionPool: {grpc: {maxRequests: 6}}
            serviceDiscovery:
              dns: {hostname: blue.local, responseType: ENDPOINTS, ipPreference: IPv4_PREFERRED}
            backends:
              - virtualService:
                  virtualServiceRef: {name: colors}
                  clientPolicy:
                    tls:
                      enforce: false
                      ports: [443]
                      certificate: {sds: {secretName: own}}
                      validation: {trust: {acm: {certificateAuthorityARNs: ["arn:ca"]}}}
              - virtualService:
                  virtualServiceARN: arn:aws:appmesh:eu-west-1:123456789012:mesh/m/virtualService/s.x
            backendGroups: [{name: shared, namespace: other}, {name: "*"}]
            backendDefaults:
              clientPolicy: {tls: {validation: {trust: {file: {certificateChain: /ca.pem}}}}}
            logging:
              accessLog: {file: {path: /dev/stdout, format: {json: [{key: a, value: "%BYTES_SENT%"}]}}}
            meshRef: {name: m, uid: "1"}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let spec = try #require(file.node).spec
        #expect(spec == (try Self.expected()))
    }

    private static func expected() throws -> VirtualNodeSpec {
        let check = HealthCheck(
            healthyThreshold: 2,
            unhealthyThreshold: 3,
            interval: .seconds(5),
            timeout: .seconds(2),
            path: "/ping",
            port: Port(8080),
            protocol: .http
        )
        let outliers = OutlierDetection(
            maxServerErrors: 5,
            interval: .seconds(10),
            baseEjectionDuration: .milliseconds(1500),
            maxEjectionPercent: 50
        )
        let file = FileCertificate(certificateChain: "/c.pem", privateKey: "/k.pem")
        let validation = TLSValidation(
            trust: .sds(secretName: "ca"),
            subjectAlternativeNames: ["front"]
        )
        let policy = ClientTLS(
            enforce: false,
            ports: [try #require(Port(443))],
            certificate: .sds(secretName: "own"),
            validation: TLSValidation(trust: .acm(certificateAuthorityARNs: ["arn:ca"]))
        )
        let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/m/virtualService/s.x"
        return VirtualNodeSpec(
            awsName: "blue-node",
            podSelector: LabelSelector(
                matchLabels: ["app": "color"],
                matchExpressions: [
                    .init(key: "version", operator: .in, values: ["blue", "2"]),
                    .init(key: "old", operator: .doesNotExist),
                ]
            ),
            listeners: [
                ListenerSpec(
                    portMapping: PortMapping(port: try #require(Port(8080)), protocol: .http),
                    healthCheck: check,
                    outlierDetection: outliers,
                    connectionPool: .http(maxConnections: 10, maxPendingRequests: 20),
                    timeout: Timeouts(perRequest: .seconds(3), idle: .zero),
                    tls: ListenerTLS(
                        mode: .strict,
                        certificate: .file(file),
                        validation: validation
                    )
                ),
                ListenerSpec(
                    portMapping: PortMapping(port: try #require(Port(8081)), protocol: .tcp),
                    connectionPool: .tcp(maxConnections: 4),
                    timeout: Timeouts(idle: .seconds(9)),
                    tls: ListenerTLS(
                        mode: .permissive,
                        certificate: .acm(certificateARN: "arn:a")
                    )
                ),
                ListenerSpec(
                    portMapping: PortMapping(port: try #require(Port(8082)), protocol: .http2),
                    connectionPool: .http2(maxRequests: 5),
                    tls: ListenerTLS(mode: .disabled, certificate: .sds(secretName: "own"))
                ),
                ListenerSpec(
                    portMapping: PortMapping(port: try #require(Port(8083)), protocol: .grpc),
                    connectionPool: .grpc(maxRequests: 6)
                ),
            ],
            serviceDiscovery: .dns(
                hostname: "blue.local",
                responseType: .endpoints,
                ipPreference: .ipv4Preferred
            ),
            backends: [
                Backend(
                    virtualService: .object(ObjectReference(namespace: "demo", name: "colors")),
                    clientPolicy: policy
                ),
                Backend(virtualService: .arn(awsName: "s.x", arn: arn)),
            ],
            backendGroups: [
                .group(ObjectReference(namespace: "other", name: "shared")),
                .everything(namespace: "demo"),
            ],
            backendDefaults: ClientTLS(
                validation: TLSValidation(trust: .file(certificateChain: "/ca.pem"))
            ),
            accessLog: AccessLog(
                path: "/dev/stdout",
                format: .json([.init(key: "a", value: "%BYTES_SENT%")])
            ),
            meshRef: DesignatedReference(name: "m", uid: "1")
        )
    }

    @Test func `a node without a spec is a client with App Mesh's name`() throws {
        let text = """
            {apiVersion: appmesh.k8s.aws/v1beta2, kind: VirtualNode, metadata: {name: blue}}
            """
        let node = try #require(decode(text).node)
        #expect(node.spec == VirtualNodeSpec(awsName: "blue_default"))
        #expect(
            node.manifest.document == [
                "apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualNode",
                "metadata": ["name": "blue", "namespace": "default"],
                "spec": ["awsName": "blue_default"],
            ]
        )
    }

    @Test func `an empty awsName counts as absent`() {
        #expect(decode(manifest("VirtualNode", "a", "awsName: ''")).node?.spec.awsName == "a_demo")
    }

    @Test func `cloud map attributes become a dictionary`() {
        let text = manifest(
            "VirtualNode",
            "a",
            """
            serviceDiscovery:
              awsCloudMap:
                namespaceName: local
                serviceName: blue
                attributes: [{key: stage, value: beta}, {key: "1", value: "2"}]
            """
        )
        let expected = ServiceDiscovery.awsCloudMap(
            namespaceName: "local",
            serviceName: "blue",
            attributes: ["stage": "beta", "1": "2"],
            ipPreference: nil
        )
        #expect(decode(text).node?.spec.serviceDiscovery == expected)
    }

    @Test func `a pruned document has no unknown fields and no status`() throws {
        let text =
            manifest(
                "VirtualNode",
                "a",
                """
                backendDefaults:
                  clientPolicy:
                    tls:
                      mode: STRICT
                      validation: {trust: {sds: {secretName: ca}}}
                """
            ) + "status: {conditions: []}\n"
        let file = decode(text)
        let warning =
            "demo.yaml:8: warning: VirtualNode demo/a: spec.backendDefaults.clientPolicy.tls.mode: "
            + "unknown field \"mode\" is ignored; known are certificate, enforce, ports and validation"
        #expect(file.diagnostics.map(\.description) == [warning])
        let node = try #require(file.node)
        #expect(
            node.manifest.document["spec"] == [
                "awsName": "a_demo",
                "backendDefaults": [
                    "clientPolicy": [
                        "tls": ["validation": ["trust": ["sds": ["secretName": "ca"]]]]
                    ]
                ],
            ]
        )
        #expect(node.manifest.document["status"] == nil)
        #expect(node.manifest.lines["spec.backendDefaults.clientPolicy.tls.validation"] == 9)
        #expect(node.manifest.lines["spec.backendDefaults.clientPolicy.tls.mode"] == nil)
    }
}
