internal import MeshModel

extension MigratingCluster {
    /// Where certificates and trust come from.
    mutating func checkCertificates() {
        for (id, document) in sortedDocuments {
            guard id.kind == .virtualNode || id.kind == .virtualGateway else { continue }
            for (field, text) in texts(in: document["spec"] ?? .null, at: "spec") {
                checkCertificate(id, field, text)
            }
        }
    }

    private mutating func checkCertificate(_ id: ObjectID, _ field: String, _ text: String) {
        let object = MigrationObject(id)
        if field.contains(".acm.") {
            let mapping = world.certificateMappings.values.filter { $0.spec.arn == text }
                .min { $0.reference < $1.reference }
            guard let mapping else {
                return report(
                    MigrationFinding(
                        .blocks,
                        .certificateUnmapped,
                        object,
                        field: field,
                        value: text,
                        "nothing stands for an ARN of ACM, which means nothing outside AWS",
                        remedy:
                            "apply a CertificateMapping with that spec.arn, as below: heddle: {}, a "
                            + "file, or acmPrivateCA"
                    )
                )
            }
            report(
                MigrationFinding(
                    .changes,
                    .certificateMapped,
                    object,
                    field: field,
                    value: text,
                    "\(mapping.id) stands for it: \(source(mapping.spec.source))",
                    remedy: mapping.spec.source == .heddle
                        ? "calls between Pods of Heddle's and those that still have ACM's certificate fail; "
                            + "acmPrivateCA with the same authority spares that" : ""
                )
            )
        } else if field.hasSuffix(".sds.secretName") {
            let isFailed = findings.contains {
                $0.object == object && $0.field == field && $0.effect == .blocks
            }
            guard !isFailed else { return }
            report(
                MigrationFinding(
                    .changes,
                    .secretService,
                    object,
                    field: field,
                    value: text,
                    "Heddle itself has what an SDS server such as SPIRE's agent had",
                    remedy:
                        "to go on with that server, install the chart with sds.enabled=true; without it "
                        + "calls between Pods of Heddle's and those with its certificates fail"
                )
            )
        } else if field.hasSuffix(".file.certificateChain") {
            report(
                MigrationFinding(
                    .works,
                    .certificateFiles,
                    object,
                    field: field,
                    value: text,
                    "Envoy reads the file in its own container, and anew when it changes, which took a "
                        + "restart before"
                )
            )
        }
    }

    private func source(_ source: CertificateMappingSpec.Source) -> String {
        switch source {
        case .heddle: "Heddle issues what is needed"
        case .file: "files in the proxy's container"
        case .acmPrivateCA: "ACM Private CA issues to a key that Heddle makes"
        }
    }
}
