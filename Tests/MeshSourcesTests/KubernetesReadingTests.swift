import KubernetesAPI
import Logging
import MeshModel
import Testing

@testable import MeshSources

@Suite struct KubernetesReadingTests {
    private var reading = ReadingState(
        [KubernetesResource(.virtualRouter), KubernetesResource(.trafficPolicy), .pods, .nodes],
        dispensable: [KubernetesResource(.trafficPolicy), .nodes],
        patience: ReadingState.Patience(denied: .seconds(3), unavailable: .seconds(60))
    )
    private let routers = KubernetesResource(.virtualRouter)
    private let policies = KubernetesResource(.trafficPolicy)

    @Test mutating func `a world is complete when all was listed`() {
        #expect(!reading.isComplete(at: .seconds(1000)))
        #expect(reading.completion == nil)
        reading.didList(routers)
        reading.didList(policies)
        reading.didList(.pods)
        #expect(!reading.isComplete(at: .seconds(1000)))
        reading.didList(.nodes)
        #expect(reading.isComplete(at: .zero))
    }

    @Test(arguments: [(403, 3), (404, 3), (500, 60)])
    mutating func `what a mesh can do without holds it up for a while`(code: Int, seconds: Int) {
        reading.didList(routers)
        reading.didList(.pods)
        reading.didList(.nodes)
        _ = reading.didFail(policies, failure(code), at: .seconds(10))
        _ = reading.didFail(policies, failure(code), at: .seconds(12))
        #expect(reading.completion == .seconds(10 + seconds))
        #expect(!reading.isComplete(at: .seconds(9 + seconds)))
        #expect(reading.isComplete(at: .seconds(10 + seconds)))
    }

    @Test(arguments: [403, 404, 500])
    mutating func `what a mesh can't do without is waited for`(code: Int) {
        reading.didList(policies)
        reading.didList(.pods)
        reading.didList(.nodes)
        let lines = reading.didFail(routers, failure(code), at: .zero)
        #expect(lines.first?.message.hasSuffix("not ready before they are listed") == true)
        #expect(reading.completion == nil)
        #expect(!reading.isComplete(at: .seconds(86_400)))
        let unread = reading.readings.filter { !$0.isListed }
        #expect(unread.map(\.resource) == ["virtualrouters.appmesh.k8s.aws"])
        #expect(unread.first?.isEssential == true)
        #expect(unread.first?.problem != nil)
        reading.didList(routers)
        #expect(reading.isComplete(at: .zero))
        // Once it was listed, nothing waits for it any more.
        _ = reading.didFail(routers, failure(code), at: .seconds(1))
        #expect(reading.isComplete(at: .seconds(1)))
    }

    @Test func `a mesh can do without what refines it alone`() {
        let source = KubernetesSource(
            client: KubernetesClient(
                KubernetesConfiguration(server: "https://127.0.0.1:1"),
                logger: silentLogger
            ),
            logger: silentLogger
        )
        #expect(
            source.readings.filter { !$0.isEssential }.map(\.resource) == [
                "backendgroups.appmesh.k8s.aws", "certificatemappings.heddle.dev", "nodes",
                "trafficpolicies.heddle.dev",
            ]
        )
        #expect(source.readings.filter(\.isEssential).count == 8)
    }

    @Test mutating func `a missing right names account, verb and remedy, and is logged once`() {
        let error = forbidden("list virtualrouters.appmesh.k8s.aws")
        let lines = reading.didFail(routers, error, at: .zero)
        #expect(lines.map(\.level) == [.warning])
        #expect(reading.didFail(routers, error, at: .seconds(5)) == [])
        #expect(
            reading.diagnostics.map(\.description) == [
                """
                error: the service account heddle-system/heddle may not list \
                virtualrouters.appmesh.k8s.aws, so that none are in force; grant verbs get, list and \
                watch in a ClusterRole
                """
            ]
        )
        reading.didList(routers)
        #expect(reading.diagnostics.first?.problem.contains("those known before stay") == true)
        #expect(
            reading.didRecover(routers).map(\.message) == ["kubernetes objects can be read again"]
        )
        #expect(reading.diagnostics.isEmpty)
    }

    @Test mutating func `a right to list alone is told of for as long as there is no watch`() {
        _ = reading.didFail(routers, forbidden("list virtualrouters.appmesh.k8s.aws"), at: .zero)
        reading.didList(routers)
        let error = forbidden("watch virtualrouters.appmesh.k8s.aws")
        #expect(reading.didFail(routers, error, at: .zero).map(\.level) == [.warning])
        // A list makes up for the watch, again and again.
        reading.didList(routers)
        #expect(reading.didFail(routers, error, at: .zero) == [])
        reading.didList(routers)
        #expect(
            reading.diagnostics.map(\.description) == [
                """
                error: the service account heddle-system/heddle may not watch \
                virtualrouters.appmesh.k8s.aws, so that changes are seen by lists alone, up to half \
                a minute late; grant verbs get, list and watch in a ClusterRole
                """
            ]
        )
        #expect(reading.didRecover(routers).map(\.level) == [.notice])
        #expect(reading.diagnostics.isEmpty)
    }

    @Test mutating func `without rights on nodes zones are missing`() {
        _ = reading.didFail(.nodes, forbidden("list nodes"), at: .zero)
        #expect(
            reading.diagnostics.map(\.description) == [
                """
                warning: the service account heddle-system/heddle may not list nodes, so that zones \
                of Pods are not known; grant verbs get, list and watch in a ClusterRole
                """
            ]
        )
    }

    @Test mutating func `a CRD that is missing is named`() {
        _ = reading.didFail(routers, failure(404), at: .zero)
        #expect(
            reading.diagnostics.map(\.description) == [
                """
                error: the cluster has no virtualrouters.appmesh.k8s.aws of appmesh.k8s.aws/v1beta2, \
                so that none are in force; install Heddle's CRDs
                """
            ]
        )
    }

    @Test mutating func `a server that does not answer is one line, and one when it does again`() {
        let error = KubernetesError(.unreachable, request: "list pods", problem: "refused")
        #expect(reading.didFail(.pods, error, at: .zero).count == 1)
        #expect(reading.didFail(routers, error, at: .zero).isEmpty)
        let problem =
            "the Kubernetes API server does not list pods and virtualrouters.appmesh.k8s.aws"
        #expect(
            reading.diagnostics.map(\.description)
                == ["warning: \(problem); what was read before stays in force"]
        )
        #expect(reading.didFail(.nodes, error, at: .zero).isEmpty)
        #expect(reading.didFail(policies, error, at: .zero).isEmpty)
        #expect(
            reading.diagnostics.first?.problem.hasPrefix(
                "the Kubernetes API server does not answer"
            ) == true
        )
        #expect(reading.didRecover(.pods).isEmpty)
        #expect(reading.didRecover(.nodes).isEmpty)
        #expect(reading.didRecover(policies).isEmpty)
        #expect(reading.didRecover(routers).map(\.message) == ["kubernetes API answers again"])
        #expect(reading.didRecover(routers).isEmpty)
    }
}
