/// Whether a file of this name is read as a manifest.
///
/// Editors' temporary files are not: vim's `.mesh.yaml.swp` and `4913`, emacs' `#mesh.yaml#` and
/// `.#mesh.yaml`, backups such as `mesh.yaml~`, and the hidden files that others rename into place.
func isManifest(_ name: String) -> Bool {
    guard !isHidden(name), name.utf8.first != UInt8(ascii: "#") else { return false }
    return [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
}

/// Whether a file or folder of this name is passed over.
func isHidden(_ name: String) -> Bool { name.utf8.first == UInt8(ascii: ".") }

/// Whether what happens to a file or folder of this name can change which manifests there are.
///
/// A hidden name counts when it begins with two periods: Kubernetes mounts a ConfigMap as links
/// through `..data`, which it replaces to change them all at once.
func concernsManifests(_ name: String) -> Bool { !isHidden(name) || name.hasPrefix("..") }
