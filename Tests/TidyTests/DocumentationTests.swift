import Foundation
import MeshManifests
import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// Manifests that users copy.
@Suite struct DocumentationTests {
    private static let pages = Repository.files.filter {
        $0 == "README.md" || $0.contains("Documentation.docc/") && $0.hasSuffix(".md")
    }

    @Test func `the manifests in the documentation are valid`() {
        var mistakes: [String] = []
        var count = 0
        for page in Self.pages {
            for block in Repository.text(of: page).matches(of: /(?s)```yaml\n(.*?)```/) {
                let file = decodeManifests(Array(block.1.utf8), path: page, folder: "/")
                mistakes += file.diagnostics.map { "\(page): \($0.message)" }
                count += file.objects.count
            }
        }
        #expect(mistakes == [])
        #expect(count > 0)
    }

    @Test(arguments: ["canary", "gateway"])
    func `an example is a mesh without mistakes`(_ name: String) {
        let folder = "Manifests/examples/\(name)/"
        let files = Repository.files.filter { $0.hasPrefix(folder) && $0.hasSuffix(".yaml") }
        let manifests = files.map(Repository.text).joined(separator: "\n---\n")
        let plan = MeshPlan.plan(World(yaml: manifests), nowSeconds: 0)
        #expect(plan.diagnostics.map(\.message) == [])
        #expect(!plan.proxies.isEmpty)
    }

    @Test func `a page's links lead to pages that are there`() {
        let names = Set(Self.pages.map { URL(fileURLWithPath: $0).lastPathComponent })
        var missing: [String] = []
        for page in Self.pages {
            let text = Repository.text(of: page)
            let topics = text.matches(of: /<doc:([^>#]+)[^>]*>/).map { "\($0.1).md" }
            missing += topics.filter { !names.contains($0) }.map { "\(page): \($0)" }
            let paths = text.matches(of: /\]\(([^)#:]+)\)/).map { String($0.1) }
            missing += paths.filter { !Repository.files.contains($0) }.map { "\(page): \($0)" }
        }
        #expect(missing == [])
    }
}
