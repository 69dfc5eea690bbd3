internal import FoundationEssentials
public import Logging
public import MeshModel
public import ServiceLifecycle
internal import Synchronization

/// Keeps the secrets that a plan names: issues, reads, renews and publishes them.
///
/// One task holds all secrets and authorities, and looks after them whenever something is asked of
/// it and each second besides, so that nothing is renewed late because of a long sleep. What others
/// ask comes through a mailbox.
public final class IdentityKeeper: Service, Sendable {
    /// Takes all secrets there are, in place of those before.
    public typealias Publish = @Sendable ([SecretSpec: SecretMaterial]) -> Void

    private let start: Mutex<Holdings?>
    private let mailbox = Mailbox()
    private let board = IdentityBoard()
    private let privateAuthority: any PrivateCertificateAuthority
    private let now: @Sendable () -> Duration
    private let steadyTime: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void
    private let publish: Publish
    private let isDistributed: @Sendable () -> Bool
    private let logger: Logger

    /// Opens the authorities in the state directory, or makes the root.
    ///
    /// - Parameters:
    ///   - configuration: What to go by.
    ///   - privateAuthority: Asks ACM Private CA.
    ///   - now: The time since 1970, which certificates are compared with.
    ///   - clock: For pauses.
    ///   - generator: Spreads renewals and attempts.
    ///   - logger: Where each change of an authority is logged, and each problem.
    ///   - publish: Takes the secrets, from the task that runs the keeper.
    ///   - isDistributed: Whether all proxies that were ever connected to this daemon have acknowledged
    ///     the secrets published last. It can't tell of those that outlived the last daemon and are not
    ///     back, so it is asked only while a new authority is announced, and of authorities of an
    ///     earlier run not in the first 30 seconds. A new authority signs after 30 seconds whatever it
    ///     says.
    /// - Throws: `IdentityError` when the state directory or the brought authority is of no use.
    public init(
        _ configuration: IdentityConfiguration,
        privateAuthority: any PrivateCertificateAuthority = ACMPrivateCAClient(),
        now: @escaping @Sendable () -> Duration,
        clock: some Clock<Duration> = ContinuousClock(),
        generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        logger: Logger,
        publish: @escaping Publish,
        isDistributed: @escaping @Sendable () -> Bool
    ) throws(IdentityError) {
        guard configuration.certificateLifetime >= IdentityConfiguration.shortestLifetime else {
            throw IdentityError(
                "--certificate-lifetime \(configuration.certificateLifetime.wholeSeconds)s: it is too "
                    + "short for a renewal; give 10s or more"
            )
        }
        let holdings = try Holdings(
            configuration,
            generator: generator,
            at: now(),
            logger: logger
        )
        let begin = clock.now
        start = Mutex(holdings)
        self.privateAuthority = privateAuthority
        self.now = now
        steadyTime = { begin.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
        self.publish = publish
        self.isDistributed = isDistributed
        self.logger = logger
        board.show(IdentityObservations(authorities: holdings.authorities.observations(at: now())))
    }

    /// Asks for `specs`, in place of those before; cheap.
    public func want(_ specs: Set<SecretSpec>) { mailbox.want(specs) }

    /// What is known of the secrets and authorities, whenever some of it changed: the newest, not each
    /// change.
    ///
    /// It is for one reader. It ends when the reader's task is cancelled.
    public var observations: some AsyncSequence<IdentityObservations, Never> & Sendable {
        board.newest
    }

    /// What is known of the secrets and authorities.
    public var currentObservations: IdentityObservations { board.current }

    /// Replaces what `request` names, before its time; gives one line that tells what has begun.
    ///
    /// - Throws: `IdentityError` when there is no such thing, or it can't be replaced at present.
    public func rotate(_ request: RotationRequest) async throws(IdentityError) -> String {
        let result = await withCheckedContinuation { mailbox.rotate(request, $0) }
        return try result.get()
    }

    /// Looks after the secrets until shutdown or cancellation; to be called once.
    public func run() async throws {
        guard var holdings = start.withLock({ $0.take() }) else {
            preconditionFailure("a keeper runs once")
        }
        defer { mailbox.close() }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.tick() }
            for await _ in mailbox.arrivals.cancelOnGracefulShutdown() {
                var more = true
                while more, !Task.isCancelled {
                    more = await turn(&holdings)
                    for request in holdings.requests(at: moment) {
                        group.addTask { await self.send(request) }
                    }
                }
            }
            group.cancelAll()
        }
    }

    private var moment: Moment { Moment(wall: now(), steady: steadyTime()) }

    /// Does what is asked and due; tells whether there is more to do at once.
    private func turn(_ holdings: inout Holdings) async -> Bool {
        let mail = mailbox.take()
        let moment = moment
        for answer in mail.answers { holdings.take(answer, at: moment) }
        // A rotation is of what the newest plan wants.
        if !mail.rotations.isEmpty {
            _ = await holdings.turn(mail.specs, at: moment, isDistributed: isDistributed)
            show(holdings, at: moment)
        }
        let results = mail.rotations.map { rotation in
            Result { () throws(IdentityError) in
                try holdings.rotate(rotation.request, at: moment)
            }
        }
        let more = await holdings.turn(mail.specs, at: moment, isDistributed: isDistributed)
        show(holdings, at: moment)
        // Who asked finds it begun.
        for (rotation, result) in zip(mail.rotations, results) {
            rotation.done.resume(returning: result)
        }
        return more
    }

    private func show(_ holdings: Holdings, at moment: Moment) {
        if holdings.haveMaterialsChanged { publish(holdings.materials) }
        board.show(
            IdentityObservations(
                secrets: holdings.secrets,
                authorities: holdings.authorities.observations(at: moment.wall)
            )
        )
    }

    /// Wakes the keeper each second.
    private func tick() async {
        repeat { mailbox.wake() } while (try? await sleep(.seconds(1))) != nil
    }

    private func send(_ request: ACMRequest) async {
        let lifetime = ACMCertificates.lifetime
        mailbox.take(await request.send(to: privateAuthority, lifetime: lifetime))
    }
}

extension Holdings {
    /// Opens what is on disk.
    init(
        _ configuration: IdentityConfiguration,
        generator: any RandomNumberGenerator & Sendable,
        at now: Duration,
        logger: Logger
    ) throws(IdentityError) {
        let state = configuration.stateDirectory
        let folder = try AuthorityFolder("\(state)/ca")
        if let brought = configuration.brought?.files, Authority.isExposed(brought.privateKey) {
            logger.warning(
                "others may read the CA's key; take their permission (chmod 600)",
                metadata: ["path": "\(brought.privateKey)"]
            )
        }
        let roots = try Roots(
            in: folder,
            of: configuration.authorityName,
            brought: configuration.brought,
            at: now,
            logger: logger
        )
        self.init(
            authorities: MeshAuthorities(
                in: folder,
                roots: roots,
                of: configuration.authorityName,
                lifetime: configuration.certificateLifetime,
                logger: logger
            ),
            issued: IssuedCertificates(generator: generator),
            acm: ACMCertificates(folder: "\(state)/acm", generator: generator),
            cores: ProcessInfo.processInfo.activeProcessorCount,
            logger: logger
        )
    }
}
