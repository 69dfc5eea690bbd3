internal import Logging
internal import MeshModel

/// All secrets and authorities, and what has to be done about them; one task owns it.
struct Holdings: Sendable {
    private(set) var authorities: MeshAuthorities
    private var issued: IssuedCertificates
    private var acm: ACMCertificates
    private var certificateFiles: [FileCertificate: WatchedSecret<ChainContent>] = [:]
    private var trustFiles: [String: WatchedSecret<TrustContent>] = [:]
    private var wanted = Wanted()
    private let cores: Int
    private let logger: Logger
    private var lastMoment: Moment?

    /// The secrets to serve.
    private(set) var materials: [SecretSpec: SecretMaterial] = [:]
    /// What is known of each that is wanted.
    private(set) var secrets: [SecretSpec: SecretObservation] = [:]
    /// Whether `materials` changed in the last turn.
    private(set) var haveMaterialsChanged = false

    init(
        authorities: MeshAuthorities,
        issued: IssuedCertificates,
        acm: ACMCertificates,
        cores: Int,
        logger: Logger
    ) {
        self.authorities = authorities
        self.issued = issued
        self.acm = acm
        self.cores = cores
        self.logger = logger
    }

    /// Does what is due; tells whether there is more to do at once.
    ///
    /// `isDistributed` tells whether all proxies know what was published after the last turn.
    mutating func turn(
        _ specs: Set<SecretSpec>,
        at moment: Moment,
        isDistributed: () -> Bool
    ) async -> Bool {
        haveMaterialsChanged = false
        want(specs, at: moment.wall)
        noticeStep(to: moment)
        acm.sweep(at: moment)
        authorities.turn(wanted.meshes, at: moment, isDistributed: isDistributed)
        let more = await sign(at: moment.wall)
        look(at: moment.wall)
        for spec in wanted.trusts { update(trust: spec, at: moment.wall) }
        return more
    }

    /// What to ask of ACM Private CA.
    mutating func requests(at moment: Moment) -> [ACMRequest] { acm.requests(at: moment) }

    /// Takes an answer of ACM Private CA; the next turn serves it.
    mutating func take(_ answer: ACMAnswer, at moment: Moment) { acm.take(answer, at: moment) }

    /// Does what `request` asks; tells what that is.
    mutating func rotate(
        _ request: RotationRequest,
        at moment: Moment
    ) throws(IdentityError) -> String {
        switch request {
        case .certificates(let owner):
            let count = issued.expire(of: owner) + acm.expire(of: owner)
            // The next daemon is not to take up what was replaced.
            try acm.erase(of: owner)
            guard count > 0 || owner == nil else {
                throw IdentityError(
                    "\(owner.map { "\($0) has" } ?? "nobody has") no certificate that Heddle issues; "
                        + "turn mutual TLS on in its Mesh by heddle.dev/mtls"
                )
            }
            return count == 1
                ? "1 certificate is issued anew" : "\(count) certificates are issued anew"
        case .meshAuthority(let mesh):
            let serial = try authorities.rotate(mesh, at: moment)
            return
                "Mesh \(mesh): authority \(serial) is announced, and signs once all proxies know it"
        case .root:
            let serial = try authorities.rotateRoot(at: moment)
            return "root \(serial) signs, and the next authority of each Mesh is announced"
        }
    }

    private mutating func want(_ specs: Set<SecretSpec>, at now: Duration) {
        guard specs != wanted.specs else { return }
        wanted = Wanted(specs)
        issued.keep(wanted.identities)
        acm.keep(wanted.acmCertificates, wanted.acmAuthorities, at: now)
        certificateFiles = certificateFiles.filter { wanted.certificateFiles.contains($0.key) }
        trustFiles = trustFiles.filter { wanted.trustFiles.contains($0.key) }
        secrets = secrets.filter { specs.contains($0.key) }
        let rest = materials.filter { specs.contains($0.key) }
        haveMaterialsChanged = rest.count != materials.count
        materials = rest
    }

    /// Tells when the wall clock stepped; what that made useless is signed anew in the same turn.
    private mutating func noticeStep(to moment: Moment) {
        defer { lastMoment = moment }
        guard let lastMoment else { return }
        let step = (moment.wall - lastMoment.wall) - (moment.steady - lastMoment.steady)
        guard step > .seconds(30) || step < .seconds(-30) else { return }
        logger.warning(
            "the wall clock stepped; certificates that it made useless are issued anew",
            metadata: [
                "seconds": "\(step.wholeSeconds)",
                "certificates": "\(issued.uselessCount(at: moment.wall))",
            ]
        )
    }

    private mutating func sign(at now: Duration) async -> Bool {
        var signers: [String: LeafSigner] = [:]
        for mesh in wanted.meshes { signers[mesh] = authorities.signer(of: mesh, at: now) }
        let due = issued.due(at: now, signers: signers)
        let signed = await SigningJob.sign(due.jobs, at: now, cores: cores)
        for (job, result) in zip(due.jobs, signed) {
            let spec = SecretSpec.certificate(.issued(job.identity))
            switch result {
            case .success(let certificate):
                issued.take(certificate, of: job.identity, at: now)
                set(spec, certificate.material, certificate.observation, at: now)
            case .failure(let error):
                issued.fail(job.identity, at: now)
                set(spec, nil, SecretObservation(problem: "\(error)"), at: now)
            }
        }
        tellWhoCannotSign()
        return due.more
    }

    /// Says of identities without a certificate why nobody signs them.
    private mutating func tellWhoCannotSign() {
        var problems: [String: String] = [:]
        for mesh in wanted.meshes { problems[mesh] = authorities.problem(of: mesh) }
        guard !problems.isEmpty else { return }
        for identity in wanted.identities {
            let spec = SecretSpec.certificate(.issued(identity))
            guard let problem = problems[identity.mesh], materials[spec] == nil else { continue }
            secrets[spec] = SecretObservation(problem: problem)
        }
    }

    private mutating func look(at now: Duration) {
        for files in wanted.certificateFiles {
            guard certificateFiles[files, default: WatchedSecret(files)].look(at: now) else {
                continue
            }
            guard let secret = certificateFiles[files] else { continue }
            set(
                .certificate(.files(files)),
                secret.served?.material,
                SecretObservation(secret.served, problem: secret.problem),
                at: now
            )
        }
        for path in wanted.trustFiles {
            _ = trustFiles[path, default: WatchedSecret(path)].look(at: now)
        }
        for (name, entry) in acm.certificates {
            set(
                .certificate(.acmPrivateCA(name.authority, name.identity)),
                entry.content?.material,
                SecretObservation(entry.content, problem: entry.problem),
                at: now
            )
        }
    }

    private mutating func update(trust sources: [TrustSource], at now: Duration) {
        var union = TrustUnion()
        for source in sources {
            switch source {
            case .mesh(let mesh):
                union.add(
                    authorities.trusted(in: mesh).map { ($0.pem, $0.validity) },
                    problem: authorities.problem(of: mesh)
                )
            case .file(let path):
                let file = trustFiles[path]
                union.add(file?.served, problem: file?.problem)
            case .acmPrivateCA(let authority):
                let entry = acm.chains[authority]
                union.add(entry?.content, problem: entry?.problem)
            }
        }
        set(.trust(sources), union.material, union.observation, at: now)
    }

    private mutating func set(
        _ spec: SecretSpec,
        _ material: SecretMaterial?,
        _ observation: SecretObservation,
        at now: Duration
    ) {
        var observation = observation
        let old = materials[spec]
        observation.rotatedSeconds = secrets[spec]?.rotatedSeconds
        if let material, material.version != old?.version {
            if old != nil { observation.rotatedSeconds = now.wholeSeconds }
            materials[spec] = material
            haveMaterialsChanged = true
        }
        if secrets[spec] != observation {
            if let problem = observation.problem, problem != secrets[spec]?.problem {
                logger.warning(
                    "a secret is not as it should be",
                    metadata: ["problem": "\(problem)"]
                )
            }
            secrets[spec] = observation
        }
    }
}

/// What a set of specs asks for, by kind.
private struct Wanted: Sendable {
    var specs: Set<SecretSpec> = []
    var identities: Set<Identity> = []
    var meshes: Set<String> = []
    var certificateFiles: Set<FileCertificate> = []
    var acmCertificates: Set<ACMCertificateName> = []
    var acmAuthorities: Set<ACMPrivateCA> = []
    var trusts: [[TrustSource]] = []
    var trustFiles: Set<String> = []

    init() {}

    init(_ specs: Set<SecretSpec>) {
        self.specs = specs
        for spec in specs {
            switch spec {
            case .certificate(.issued(let identity)):
                identities.insert(identity)
                meshes.insert(identity.mesh)
            case .certificate(.files(let files)):
                certificateFiles.insert(files)
            case .certificate(.acmPrivateCA(let authority, let identity)):
                acmCertificates.insert(ACMCertificateName(authority: authority, identity: identity))
            case .trust(let sources):
                trusts.append(sources)
                for source in sources { insert(source) }
            }
        }
    }

    private mutating func insert(_ source: TrustSource) {
        switch source {
        case .mesh(let mesh): meshes.insert(mesh)
        case .file(let path): trustFiles.insert(path)
        case .acmPrivateCA(let authority): acmAuthorities.insert(authority)
        }
    }
}

/// Authorities of several sources in one secret.
private struct TrustUnion {
    private var certificates: Set<String> = []
    private var last: Validity?
    private var problems: [String] = []

    mutating func add(_ authorities: [(pem: String, validity: Validity)], problem: String?) {
        for authority in authorities {
            certificates.insert(authority.pem)
            add(authority.validity)
        }
        if let problem { problems.append(problem) }
    }

    mutating func add(_ content: TrustContent?, problem: String?) {
        if let content {
            certificates.formUnion(content.certificates)
            add(content.last)
        }
        if let problem { problems.append(problem) }
    }

    private mutating func add(_ validity: Validity) {
        if last.map({ validity.notAfterSeconds > $0.notAfterSeconds }) ?? true { last = validity }
    }

    /// nil while no source has any.
    var material: SecretMaterial? {
        guard !certificates.isEmpty else { return nil }
        let text = certificates.sorted().joined()
        return SecretMaterial(version: shortHash(text), content: .trust(text))
    }

    var observation: SecretObservation {
        SecretObservation(
            notBeforeSeconds: last?.notBeforeSeconds,
            notAfterSeconds: last?.notAfterSeconds,
            problem: problems.isEmpty ? nil : problems.joined(separator: "; ")
        )
    }
}

extension SecretObservation {
    fileprivate init(_ content: ChainContent?, problem: String?) {
        self.init(
            serial: content?.serial,
            issuedSeconds: content?.issuedSeconds,
            notBeforeSeconds: content?.validity.notBeforeSeconds,
            notAfterSeconds: content?.validity.notAfterSeconds,
            problem: problem
        )
    }
}

extension IssuedCertificate {
    fileprivate var observation: SecretObservation {
        SecretObservation(
            serial: serial,
            issuedSeconds: issuedSeconds,
            notBeforeSeconds: validity.notBeforeSeconds,
            notAfterSeconds: validity.notAfterSeconds,
            problem: problem
        )
    }
}
