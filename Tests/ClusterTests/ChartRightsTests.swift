import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// What the chart's own service account may do, at a real API server.
@Suite(.enabled(if: Helm.isExpected && kubernetesIsExpected), .timeLimit(.minutes(5)))
struct ChartRightsTests {
    /// A request.
    struct Attempt: CustomTestStringConvertible {
        var method: String
        var path: String
        var body: String?

        init(_ method: String, _ path: String, _ body: String? = nil) {
            (self.method, self.path, self.body) = (method, path, body)
        }

        var testDescription: String { "\(method) \(path)" }
    }

    static let kinds =
        ["meshes", "virtualnodes", "virtualservices", "virtualrouters"]
        + ["virtualgateways", "gatewayroutes", "backendgroups"]
    private static let mesh = "/apis/appmesh.k8s.aws/v1beta2"
    private static let own = "/apis/heddle.dev/v1alpha1"
    private static let system = "/api/v1/namespaces/heddle-system"
    private static let leases = "/apis/coordination.k8s.io/v1/namespaces/heddle-system/leases"
    private static let webhooks = ["mutating", "validating"].map {
        "/apis/admissionregistration.k8s.io/v1/\($0)webhookconfigurations"
    }

    /// The path of an object that `prepare` makes.
    private static func object(_ plural: String) -> String {
        let isOurs = ["trafficpolicies", "certificatemappings"].contains(plural)
        let isNamespaced = !["meshes", "certificatemappings"].contains(plural)
        return (isOurs ? own : mesh) + (isNamespaced ? "/namespaces/default/" : "/")
            + "\(plural)/one"
    }

    /// What Heddle does.
    static let allowed: [Attempt] = {
        let lists =
            kinds.map { "\(mesh)/\($0)" }
            + ["\(own)/trafficpolicies", "\(own)/certificatemappings"]
            + ["namespaces", "pods", "nodes"].map { "/api/v1/\($0)" }
        let all = kinds + ["trafficpolicies", "certificatemappings"]
        let condition = #"{"status":{"conditions":[{"type":"A","status":"True"}]}}"#
        let none = #"{"metadata":{"finalizers":null}}"#
        let lease = #"{"metadata":{"name":"heddle"},"spec":{"holderIdentity":"a"}}"#
        let secret = #"{"metadata":{"name":"heddle-ca"},"data":{"a":"YQ=="}}"#
        let refusals = #"{"metadata":{"name":"heddle-refusals"},"data":{"a":"b"}}"#
        let event = #"""
            {"metadata":{"name":"one"},"reason":"A","type":"Normal",
            "involvedObject":{"kind":"Mesh","name":"one","namespace":"default"}}
            """#
        let token =
            #"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"a"}}"#
        let byName = "fieldSelector=metadata.name%3D"
        return lists.flatMap {
            [Attempt("GET", $0), Attempt("GET", "\($0)?watch=1&timeoutSeconds=1")]
        }
            // A BackendGroup has no status.
            + all.filter { $0 != "backendgroups" }.map {
                Attempt("PATCH", object($0) + "/status", condition)
            }
            + kinds.dropLast().map { Attempt("PATCH", object($0), none) }
            + [
                Attempt("POST", "/api/v1/namespaces/default/events", event),
                Attempt("PATCH", "/api/v1/namespaces/default/events/one", #"{"count":2}"#),
                Attempt("POST", "/apis/authentication.k8s.io/v1/tokenreviews", token),
                Attempt("POST", leases, lease), Attempt("GET", leases + "/heddle"),
                Attempt("POST", system + "/configmaps", refusals),
                Attempt("PATCH", system + "/configmaps/heddle-refusals", refusals),
                Attempt("GET", system + "/configmaps?\(byName)heddle-refusals"),
                Attempt(
                    "GET",
                    system + "/configmaps?watch=1&timeoutSeconds=1&\(byName)heddle-refusals"
                ),
                Attempt("POST", system + "/secrets", secret),
                Attempt("GET", system + "/secrets/heddle-ca"),
                Attempt("GET", system + "/secrets?\(byName)heddle-ca"),
                Attempt("GET", system + "/secrets?watch=1&timeoutSeconds=1&\(byName)heddle-ca"),
            ]
            + webhooks.flatMap { path in
                [
                    Attempt("GET", path + "/heddle"), Attempt("GET", "\(path)?\(byName)heddle"),
                    Attempt("GET", "\(path)?watch=1&timeoutSeconds=1&\(byName)heddle"),
                    Attempt("PATCH", path + "/heddle", #"{"metadata":{"annotations":{"a":"b"}}}"#),
                ]
            }
    }()

    /// What Heddle shall not be able to do.
    static let refused: [Attempt] = [
        Attempt("GET", system + "/secrets"), Attempt("GET", system + "/secrets/other"),
        Attempt("PUT", system + "/secrets/heddle-ca", "{}"),
        Attempt("PATCH", system + "/secrets/heddle-ca", "{}"),
        Attempt("DELETE", system + "/secrets/heddle-ca"), Attempt("GET", "/api/v1/secrets"),
        Attempt("GET", "/api/v1/namespaces/default/secrets/heddle-ca"),
        Attempt("POST", "/api/v1/namespaces/default/secrets", "{}"),
        Attempt("GET", system + "/configmaps"),
        Attempt("PATCH", system + "/configmaps/heddle-injection", "{}"),
        Attempt("POST", system + "/serviceaccounts/heddle/token", "{}"),
        Attempt("PUT", leases + "/other", "{}"), Attempt("DELETE", leases + "/heddle"),
        Attempt("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", "{}"),
        Attempt("DELETE", "/api/v1/nodes/one"), Attempt("PATCH", "/api/v1/nodes/one", "{}"),
        Attempt("PATCH", "/api/v1/namespaces/default", "{}"),
        Attempt("DELETE", "/api/v1/namespaces/default"),
        Attempt("DELETE", "/api/v1/namespaces/default/pods/one"),
        Attempt("PATCH", "/api/v1/namespaces/default/pods/one", "{}"),
        Attempt("PATCH", "/api/v1/namespaces/default/pods/one/status", "{}"),
        Attempt("POST", "/api/v1/namespaces/default/pods", "{}"),
        Attempt("POST", mesh + "/meshes", "{}"), Attempt("DELETE", mesh + "/meshes/one"),
        Attempt("DELETE", object("virtualnodes")), Attempt("PUT", object("virtualnodes"), "{}"),
        Attempt("PATCH", object("backendgroups"), "{}"),
        Attempt("PATCH", object("backendgroups") + "/status", "{}"),
        Attempt("PATCH", object("trafficpolicies"), "{}"),
        Attempt("PATCH", object("certificatemappings"), "{}"),
        Attempt("GET", webhooks[0]), Attempt("GET", webhooks[1] + "/other"),
        Attempt("PATCH", webhooks[0] + "/other", "{}"), Attempt("POST", webhooks[0], "{}"),
        Attempt("DELETE", webhooks[1] + "/heddle"),
        Attempt("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
        Attempt("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        Attempt("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "{}"),
        Attempt("GET", "/apis/apps/v1/deployments"),
    ]

    @Test func `Heddle may do what it does`() async throws {
        let cluster = try await InstalledCluster.value()
        for attempt in Self.allowed {
            let answer = try await cluster.send(attempt)
            if attempt.method == "GET", attempt.path.hasSuffix("/leases/heddle") {
                // Who replaces an object has to know its version.
                let renewal = Attempt("PUT", attempt.path, answer.text)
                #expect(try await cluster.send(renewal).status == 200)
            }
            #expect(
                (200..<300).contains(answer.status),
                "\(attempt.testDescription): \(answer.text)"
            )
        }
    }

    @Test func `Heddle may do nothing else`() async throws {
        let cluster = try await InstalledCluster.value()
        for attempt in Self.refused {
            let answer = try await cluster.send(attempt)
            #expect(answer.status == 403, "\(attempt.testDescription): \(answer.text)")
        }
    }
}

/// A server on which the chart is installed, and a token of its service account.
private struct InstalledCluster {
    let server: KubernetesServer
    let token: String
    let client = HTTPClient()

    static func value() async throws -> InstalledCluster { try await shared.value }

    private static let shared = Task {
        let server = try await KubernetesServer()
        let arguments = ["--kubeconfig", server.kubeconfig]
        try await Helm.chart(
            "install",
            // Nobody answers for the webhooks.
            values: [ChartValues.image, "webhooks: {objects: {failurePolicy: Ignore}}"],
            "--create-namespace",
            arguments[0],
            arguments[1]
        )
        for kind in try CustomResourceTable().kinds {
            try await server.request("POST", kind.path(in: "default"), try kind.object("one").text)
        }
        let token = try await server.token("heddle-system", "heddle")
        return InstalledCluster(server: server, token: token)
    }

    /// Sends a request as Heddle.
    func send(_ attempt: ChartRightsTests.Attempt) async throws -> HTTPResponse {
        let type = attempt.method == "PATCH" ? "application/merge-patch+json" : "application/json"
        return try await client.response(
            to: HTTPRequest(
                attempt.method,
                server.server + attempt.path,
                headers: [
                    HTTPField("Authorization", "Bearer \(token)"), HTTPField("Content-Type", type),
                ],
                body: attempt.body.map { Array($0.utf8) },
                certificateAuthorityFile: server.certificateAuthority
            )
        )
    }
}
