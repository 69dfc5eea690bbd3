import MeshModel
import Testing

@Suite struct DiagnosticTests {
    static let router = ObjectID(.virtualRouter, ObjectReference(namespace: "demo", name: "colors"))

    @Test func `a diagnostic says object, field, problem and remedy on one line`() {
        var diagnostic = Diagnostic(
            .error,
            object: Self.router,
            field: "spec.routes[0].name",
            problem: "duplicate route \"a\"",
            remedy: "rename one"
        )
        let message =
            "VirtualRouter demo/colors: spec.routes[0].name: duplicate route \"a\"; rename one"
        #expect(diagnostic.message == message)
        #expect(diagnostic.description == "error: \(message)")
        diagnostic.location = MeshModel.SourceLocation(file: "mesh.yaml", line: 7)
        #expect(diagnostic.description == "mesh.yaml:7: error: \(message)")
    }

    @Test func `a diagnostic of a file has neither object nor field`() {
        let diagnostic = Diagnostic(
            .note,
            problem: "3 Deployments ignored",
            location: MeshModel.SourceLocation(file: "mesh.yaml", line: 1)
        )
        #expect(diagnostic.description == "mesh.yaml:1: note: 3 Deployments ignored")
    }

    @Test func `an object of the whole cluster is named without a namespace`() {
        let mesh = ObjectID(.mesh, ObjectReference(name: "demo"))
        #expect(Diagnostic(.error, object: mesh, problem: "bad").message == "Mesh demo: bad")
    }

    @Test func `diagnostics are ordered by file, line, severity and text`() {
        func diagnostic(
            _ severity: Diagnostic.Severity,
            _ file: String,
            _ line: Int,
            _ problem: String
        ) -> Diagnostic {
            let location = MeshModel.SourceLocation(file: file, line: line)
            return Diagnostic(severity, problem: problem, location: location)
        }
        let sorted = [
            Diagnostic(.note, problem: "of no file"),
            diagnostic(.error, "a.yaml", 9, "b"), diagnostic(.error, "a.yaml", 10, "a"),
            diagnostic(.error, "a.yaml", 10, "b"), diagnostic(.warning, "a.yaml", 10, "a"),
            diagnostic(.note, "a.yaml", 10, "a"), diagnostic(.error, "b.yaml", 1, "a"),
        ]
        #expect(sorted.reversed().sorted() == sorted)
    }

    @Test(arguments: [
        ("spec.listeners[1].portMapping.port", 8),
        ("spec.listeners[1].timeout", 7),
        ("spec.listeners[2]", 4),
        ("spec.backends", 3),
        ("metadata.name", 1),
        ("", 1),
    ])
    func `a field that the document lacks stands where its nearest parent does`(
        _ field: String,
        _ line: Int
    ) {
        let manifest = Manifest(
            file: "mesh.yaml",
            lines: [
                "": 1, "spec": 3, "spec.listeners": 4, "spec.listeners[1]": 7,
                "spec.listeners[1].portMapping": 8,
            ]
        )
        let location = MeshModel.SourceLocation(file: "mesh.yaml", line: line)
        #expect(manifest.location(of: field) == location)
    }
}
