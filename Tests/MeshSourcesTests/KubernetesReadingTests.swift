import KubernetesAPI
import Logging
import MeshModel
import Testing

@testable import MeshSources

@Suite struct KubernetesReadingTests {
    private var reading = ReadingState(
        [KubernetesResource(.virtualRouter), .pods, .nodes],
        deniedPatience: .seconds(3)
    )
    private let routers = KubernetesResource(.virtualRouter)

    @Test mutating func `a world is complete when all was listed`() {
        #expect(!reading.isComplete(at: .seconds(1000)))
        #expect(reading.completion == nil)
        _ = reading.didList(routers)
        _ = reading.didList(.pods)
        #expect(!reading.isComplete(at: .seconds(1000)))
        _ = reading.didList(.nodes)
        #expect(reading.isComplete(at: .zero))
    }

    @Test(arguments: [403, 404])
    mutating func `what is denied holds the others up for a moment`(code: Int) {
        _ = reading.didList(.pods)
        _ = reading.didList(.nodes)
        _ = reading.didFail(routers, failure(code), at: .seconds(10))
        _ = reading.didFail(routers, failure(code), at: .seconds(12))
        #expect(reading.completion == .seconds(13))
        #expect(!reading.isComplete(at: .seconds(12)))
        #expect(reading.isComplete(at: .seconds(13)))
    }

    @Test mutating func `what fails in another way is waited for`() {
        _ = reading.didList(.pods)
        _ = reading.didList(.nodes)
        _ = reading.didFail(routers, failure(500), at: .seconds(10))
        #expect(reading.completion == nil)
        #expect(!reading.isComplete(at: .seconds(100_000)))
        // A server that has just started may deny what it soon will not.
        _ = reading.didFail(routers, failure(404), at: .seconds(100_000))
        #expect(reading.completion == .seconds(100_003))
        #expect(!reading.isComplete(at: .seconds(100_002)))
        _ = reading.didList(routers)
        #expect(reading.isComplete(at: .seconds(100_002)))
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
        #expect(reading.didList(routers).map(\.message) == ["kubernetes objects can be read again"])
        #expect(reading.diagnostics.isEmpty)
        _ = reading.didFail(routers, forbidden("watch virtualrouters.appmesh.k8s.aws"), at: .zero)
        #expect(reading.diagnostics.first?.problem.contains("may not watch") == true)
        #expect(
            reading.diagnostics.first?.problem.contains("those known before stay in force") == true
        )
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
        #expect(
            reading.diagnostics.first?.problem.hasPrefix(
                "the Kubernetes API server does not answer"
            ) == true
        )
        #expect(reading.didRecover(.pods).isEmpty)
        #expect(reading.didRecover(.nodes).isEmpty)
        #expect(reading.didRecover(routers).map(\.message) == ["kubernetes API answers again"])
        #expect(reading.didRecover(routers).isEmpty)
    }
}
