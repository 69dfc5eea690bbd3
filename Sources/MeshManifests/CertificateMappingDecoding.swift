import MeshModel

extension Fields {
    /// `spec` of a CertificateMapping, whose paths are relative to `folder`.
    func certificateMapping(folder: String?) -> CertificateMappingSpec? {
        nil
    }
}
