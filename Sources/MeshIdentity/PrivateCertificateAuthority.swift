public import MeshModel

/// An authority elsewhere that issues certificates for keys which are made here: AWS Certificate
/// Manager Private CA, or a server that speaks its protocol.
///
/// Errors describe themselves in one line.
public protocol PrivateCertificateAuthority: Sendable {
    /// Has `authority` sign a request, and gives the chain from the leaf on in PEM.
    ///
    /// `csrPEM` is a PKCS#10 request, as the key stays here; `lifetime` is how long the certificate
    /// shall be valid; `orderedSeconds` is when it was asked for first, in seconds since 1970.
    ///
    /// Guarantee: equal arguments within five minutes issue one certificate, so that it is safe to
    /// ask again when an answer gets lost.
    func issue(
        csrPEM: String,
        lifetime: Duration,
        orderedSeconds: Int,
        from authority: ACMPrivateCA
    ) async throws -> String

    /// The certificate of `authority` and those above it, in PEM.
    func authorityChain(of authority: ACMPrivateCA) async throws -> String
}
