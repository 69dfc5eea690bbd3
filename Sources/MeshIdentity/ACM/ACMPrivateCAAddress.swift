internal import AWSClient
internal import MeshModel

/// An authority's ARN, taken apart, and where it is reached.
struct ACMPrivateCAAddress: Hashable, Sendable {
    /// The ARN, as AWS wants it.
    let authorityARN: String
    /// ACM Private CA in the ARN's region.
    let service: AWSService

    /// Makes an address.
    init(_ authority: ACMPrivateCA) throws(ACMPrivateCAError) {
        let arn = authority.authorityARN
        let fields = arn.split(separator: ":", omittingEmptySubsequences: false)
        guard fields.count == 6, fields[0] == "arn", fields[2] == "acm-pca", !fields[3].isEmpty,
            fields[5].hasPrefix("certificate-authority/")
        else { throw .malformedARN(arn) }
        if let endpoint = authority.endpoint,
            !endpoint.hasPrefix("https://") && !endpoint.hasPrefix("http://")
        {
            throw .malformedEndpoint(endpoint)
        }
        authorityARN = arn
        service = AWSService(
            name: "acm-pca",
            region: String(fields[3]),
            endpoint: authority.endpoint,
            targetPrefix: "ACMPrivateCA"
        )
    }
}
