import MeshModel
import MeshPlan

@testable import MeshDaemon

/// The virtual node `demo/name`.
func nodeID(_ name: String) -> ObjectID {
    ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: name))
}

/// The certificate that Heddle issues for the virtual node `demo/name`.
func issued(_ name: String, uri: String? = nil) -> SecretSpec {
    .certificate(
        .issued(
            Identity(
                mesh: "colors",
                owner: nodeID(name),
                uri: uri ?? "spiffe://colors/demo/\(name)",
                dnsNames: ["\(name).demo"]
            )
        )
    )
}

/// A proxy of `owner` that has `secrets`.
func proxyPlan(_ workload: String, _ owner: ObjectID, _ secrets: [SecretSpec]) -> ProxyPlan {
    ProxyPlan(
        id: ProxyID(ObjectReference(namespace: "demo", name: workload)),
        owner: owner,
        nodeID: "",
        addresses: ProxyAddresses(ingress: "127.66.0.1", egress: "127.67.0.1"),
        secrets: Dictionary(
            uniqueKeysWithValues: secrets.enumerated().map { ("\($0.offset)", $0.element) }
        )
    )
}

/// A plan of `proxies` in the mesh `colors`.
func plan(_ proxies: [ProxyPlan]) -> Plan {
    var plan = Plan()
    plan.proxies = Dictionary(uniqueKeysWithValues: proxies.map { ($0.id, $0) })
    plan.designations.meshes["demo"] = ObjectReference(name: "colors")
    return plan
}

/// Files of a certificate.
let servedFiles = SecretSpec.certificate(
    .files(FileCertificate(certificateChain: "/certs/red.pem", privateKey: "/certs/red.key"))
)
/// Trust in the mesh `colors`.
let meshTrust = SecretSpec.trust([.mesh("colors")])
/// Trust in a file.
let fileTrust = SecretSpec.trust([.file("/certs/ca.pem")])

/// Two nodes, of which one has its certificate from files, and the authorities of their mesh.
func colorCertificates() -> (plan: Plan, identity: IdentityObservations) {
    let plan = plan([
        proxyPlan("blue-1", nodeID("blue"), [issued("blue"), meshTrust]),
        proxyPlan("blue-2", nodeID("blue"), [issued("blue"), meshTrust]),
        proxyPlan("red-1", nodeID("red"), [servedFiles, fileTrust]),
    ])
    func authority(
        _ mesh: String?,
        _ serial: String,
        _ phase: AuthorityObservation.Phase,
        from begin: Int,
        to end: Int
    ) -> AuthorityObservation {
        AuthorityObservation(
            mesh: mesh,
            serial: serial,
            phase: phase,
            issuedSeconds: testNowSeconds + begin + 3600,
            notBeforeSeconds: testNowSeconds + begin,
            notAfterSeconds: testNowSeconds + end
        )
    }
    let identity = IdentityObservations(
        secrets: [
            issued("blue"): SecretObservation(
                serial: "1A2B3C4D5E6F",
                issuedSeconds: testNowSeconds - 1320,
                notBeforeSeconds: testNowSeconds - 1440,
                notAfterSeconds: testNowSeconds + 2280,
                rotatedSeconds: testNowSeconds - 1200
            ),
            servedFiles: SecretObservation(
                serial: "77",
                notBeforeSeconds: testNowSeconds - 86_400,
                notAfterSeconds: testNowSeconds + 30 * 86_400,
                problem: "/certs/red.pem: no certificate in it; write PEM"
            ),
        ],
        authorities: [
            authority("colors", "C0FFEE", .retiring, from: -10_000, to: 100),
            authority("colors", "C0FFEF", .signing, from: -5000, to: 500_000),
            authority(nil, "ABBA", .signing, from: -86_400, to: 3650 * 86_400),
        ]
    )
    return (plan, identity)
}

/// A handler that shows `colorCertificates`.
func certificatesHandler(
    rotation: RotationHandler? = nil,
    accessCounts: @escaping @Sendable () -> [AccessCount] = { [] }
) -> APIHandler {
    let state = APIState(firstVersion: 100)
    let (plan, identity) = colorCertificates()
    state.publish(
        objects: [mesh("colors"), workload("blue-1")],
        statuses: [:],
        certificates: CertificateReport(plan, identity)
    )
    var handler = handler(state)
    handler.rotation = rotation
    handler.accessCounts = accessCounts
    return handler
}
