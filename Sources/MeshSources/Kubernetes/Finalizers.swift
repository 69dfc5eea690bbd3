internal import MeshModel

/// The finalizers of App Mesh's controller, without which the objects that have them can't be deleted.
enum AppMeshFinalizer: String, CaseIterable {
    case resources = "finalizers.appmesh.k8s.aws/aws-appmesh-resources"
    case cloudMapResources = "finalizers.appmesh.k8s.aws/aws-cloudmap-resources"
    case meshMembers = "finalizers.appmesh.k8s.aws/mesh-members"
    case gatewayMembers = "finalizers.appmesh.k8s.aws/virtualgateway-members"

    /// Whether it keeps what others belong to from being deleted before them.
    var guardsMembers: Bool {
        switch self {
        case .resources, .cloudMapResources: false
        case .meshMembers, .gatewayMembers: true
        }
    }
}

extension LiveObject {
    /// The finalizers of App Mesh's controller.
    var appMeshFinalizers: [AppMeshFinalizer] { finalizers.compactMap(AppMeshFinalizer.init) }

    /// The finalizers that stay, others' among them; nil when all of them do.
    ///
    /// Those that guard members go with the rest from an object that nobody wants deleted: they would
    /// be in the way of whoever deletes it when Heddle is gone.
    func remainingFinalizers(hasMembers: Bool) -> [String]? {
        let remaining = finalizers.filter { finalizer in
            guard let known = AppMeshFinalizer(rawValue: finalizer) else { return true }
            return isBeingDeleted && known.guardsMembers && hasMembers
        }
        return remaining == finalizers ? nil : remaining
    }

    /// Whether it waits for its members to be deleted.
    func waitsForMembers(_ hasMembers: Bool) -> Bool {
        isBeingDeleted && hasMembers && appMeshFinalizers.contains(where: \.guardsMembers)
    }
}

/// What App Mesh's controller says of a Mesh or VirtualGateway that can't be deleted yet.
func pendingMembersMessage(of kind: Kind, _ members: [MemberCount]) -> String {
    let noun = kind == .mesh ? "mesh" : "virtualGateway"
    let counts = members.map { "\($0.kind): \($0.count)" }.joined(separator: ", ")
    return "objects belonging to this \(noun) exist, please delete them to proceed. \(counts)"
}
