/// The parts of manifests that are about TLS, in YAML's flow style.
extension Manifests {
    /// `tls` of a listener; `validation` asks clients for a certificate.
    static func listenerTLS(
        _ certificate: String,
        mode: String = "STRICT",
        validation: String? = nil
    ) -> String {
        let validation = validation.map { ", validation: {\($0)}" } ?? ""
        return "tls: {mode: \(mode), certificate: {\(certificate)}\(validation)}"
    }

    /// `backendDefaults` with a client policy; `more` adds fields to its `tls`.
    static func clientPolicy(validation: String, more: String = "") -> String {
        "backendDefaults: {clientPolicy: {tls: {validation: {\(validation)}, \(more)}}}"
    }

    /// A certificate in files of the folder `folder`, which are called as `name` is.
    static func file(_ name: String, in folder: String) -> String {
        "file: {certificateChain: \(folder)/\(name).pem, privateKey: \(folder)/\(name).key}"
    }

    /// A certificate or trust that SDS serves.
    static func sds(_ name: String) -> String {
        "sds: {secretName: \"\(name)\"}"
    }

    /// What is checked of a peer's certificate: who signed it, and its names.
    static func validation(trust: String, names: [String]? = nil) -> String {
        let names = names.map {
            ", subjectAlternativeNames: {match: {exact: [\($0.map { "\"\($0)\"" }.joined(separator: ", "))]}}"
        }
        return "trust: {\(trust)}\(names ?? "")"
    }

    /// Trust in the authorities of a file.
    static func trust(_ path: String) -> String {
        "file: {certificateChain: \(path)}"
    }

    /// What stands for an ARN of ACM.
    static func certificateMapping(_ name: String, arn: String, _ source: String) -> String {
        """
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: CertificateMapping
        metadata: {name: \(name)}
        spec: {arn: "\(arn)", \(source)}

        """
    }
}
