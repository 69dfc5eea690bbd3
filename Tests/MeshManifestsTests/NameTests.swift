import MeshModel
import Testing

@testable import MeshManifests

@Suite struct NameTests {
    @Test(arguments: ["color.demo", "a:80", "Jazz_v1-2"])
    func `an awsName has the characters of a host or resource name`(name: String) {
        #expect(diagnostics(name).isEmpty)
    }

    @Test(arguments: ["*", "a b", "a/b", "ä", "a\\n"])
    func `another character is refused`(name: String) {
        #expect(
            diagnostics(name).first?.hasSuffix(
                "has characters that no host or resource name has; use letters, digits, \"-\", \".\" "
                    + "and \"_\""
            ) == true
        )
    }

    private func diagnostics(_ name: String) -> [String] {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: color, namespace: demo}
            spec: {awsName: "\(name)"}
            """
        return decodeManifests(Array(text.utf8), path: "a.yaml", folder: "/").diagnostics
            .map(\.description)
    }
}
