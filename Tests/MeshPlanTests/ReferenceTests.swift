import MeshModel
import MeshPlan
import MeshTesting
import Testing

@Suite struct ReferenceTests {
    @Test(arguments: [
        ("{name: blu}", "did you mean \"demo/blue\"?"),
        ("{name: gone}", "add it or correct the reference"),
        ("{name: far}", "did you mean \"other/far\"?"),
        ("{name: blue, namespace: demmo}", "did you mean \"demo/blue\"?"),
    ])
    func `a message names the object that was probably meant`(
        _ reference: String,
        _ remedy: String
    ) throws {
        let node = "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: "
        let world = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: colors}
                spec: {provider: {virtualNode: {virtualNodeRef: \(reference)}}}
                ---
                \(node){namespace: demo, name: blue}
                ---
                \(node){namespace: demo, name: far-away-and-long}
                ---
                \(node){namespace: other, name: far}
                """
        )
        let service = ObjectReference(namespace: "demo", name: "colors")
        let id = ObjectID(.virtualService, service)
        let diagnostic = try #require(
            plan(world, nowSeconds: 0).diagnostics.first { $0.object == id }
        )
        #expect(diagnostic.remedy == remedy)
    }
}
