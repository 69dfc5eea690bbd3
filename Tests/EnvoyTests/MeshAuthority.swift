import Foundation
import MeshTesting

extension TestAuthority {
    /// Makes an authority whose files are in `place`.
    init(_ name: String, in place: TestFolder) async throws {
        try await self.init(name, in: place.url.path)
    }

    /// The authority of the Mesh `mesh` with which Heddle itself signs at present; its files are called
    /// as `name` is, by default as the Mesh.
    init(
        ofMesh mesh: String,
        _ running: RunningMesh,
        as name: String? = nil,
        in place: TestFolder
    ) throws {
        struct File: Decodable {
            struct Authority: Decodable {
                var certificate: String
                var key: String
            }
            var signing: Authority
        }
        let path = running.state.appendingPathComponent("ca/meshes/\(mesh).json")
        let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: path))
        try self.init(
            name ?? "mesh-\(mesh)",
            certificate: file.signing.certificate,
            key: file.signing.key,
            in: place.url.path
        )
    }
}
