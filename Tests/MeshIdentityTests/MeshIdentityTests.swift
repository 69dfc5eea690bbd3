import MeshIdentity
import Testing
