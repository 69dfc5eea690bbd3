public import KubernetesAPI
internal import MeshModel

extension ClusterDocuments {
    /// Reads a cluster: of each kind all objects, as far as the caller may list them.
    ///
    /// - Parameters:
    ///   - client: Asks the API server.
    ///   - source: What the cluster is called.
    ///   - nowSeconds: The time in seconds since 1970.
    ///   - progress: Told what is being read.
    /// - Returns: What was read, and what could not be.
    /// - Throws: `KubernetesError` when the server does not answer at all, or knows not who asks.
    public static func reading(
        _ client: KubernetesClient,
        source: String,
        nowSeconds: Int,
        progress: (String) -> Void = { _ in }
    ) async throws -> ClusterDocuments {
        try await reading(
            client,
            source: source,
            nowSeconds: nowSeconds,
            pageSize: 500,
            progress: progress
        )
    }

    /// Reads a cluster, so many objects at a time.
    static func reading(
        _ client: KubernetesClient,
        source: String,
        nowSeconds: Int,
        pageSize: Int,
        progress: (String) -> Void = { _ in }
    ) async throws -> ClusterDocuments {
        var cluster = ClusterDocuments(source: source, documents: [])
        cluster.isLive = true
        cluster.readSeconds = nowSeconds
        do {
            cluster.serverVersion = try await client.serverVersion()
        } catch let error as KubernetesError where error.isForbidden {
            cluster.gaps.append(MigrationGap(error, of: "version"))
        }
        for resource in MigrationResource.meshKinds + MigrationResource.surroundings {
            progress("reading \(resource.name)")
            do {
                try await cluster.read(resource, client, pageSize)
            } catch let error as KubernetesError where error.code == 401 || error.code == nil {
                throw error
            } catch let error as KubernetesError {
                cluster.gaps.append(MigrationGap(error, of: resource.name))
            }
        }
        return cluster
    }

    /// Reads all objects of `resource`; none where the server has no such kind.
    private mutating func read(
        _ resource: MigrationResource,
        _ client: KubernetesClient,
        _ pageSize: Int
    ) async throws {
        do {
            documents += try await objects(of: resource, client, pageSize)
        } catch let error as KubernetesError where error.isNotFound {
            guard resource.group == Kind.mesh.group else { return }
            // Controllers before version 1 had another version alone.
            var legacy = resource
            legacy.version = "v1beta1"
            do {
                documents += try await objects(of: legacy, client, pageSize)
            } catch let error as KubernetesError where error.isNotFound {}
        }
    }

    private func objects(
        of resource: MigrationResource,
        _ client: KubernetesClient,
        _ pageSize: Int
    ) async throws -> [JSONValue] {
        let kind = KubernetesResource(
            group: resource.group,
            version: resource.version,
            plural: resource.plural,
            kind: resource.kind
        )
        var objects: [JSONValue] = []
        var next: String?
        repeat {
            let page = try await client.list(JSONValue.self, kind, limit: pageSize, next: next)
            for var object in page.items {
                // Items of a list leave to the list of what kind they are.
                object["apiVersion"] = .string(kind.apiVersion)
                object["kind"] = .string(kind.kind)
                objects.append(slimmed(object))
            }
            next = page.next
        } while next != nil
        return objects
    }
}

extension MigrationGap {
    /// What the server said when it was asked for `resource`.
    fileprivate init(_ error: KubernetesError, of resource: String) {
        self.init(
            resource: resource,
            reason: error.isForbidden
                ? "you may not list them; nothing is said of what depends on them" : error.problem,
            isFailure: true
        )
    }
}
