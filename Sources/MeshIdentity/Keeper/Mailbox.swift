internal import MeshModel
internal import Synchronization

/// What others ask of the keeper, until its task takes it.
final class Mailbox: Sendable {
    /// A rotation that somebody waits for.
    struct Rotation: Sendable {
        var request: RotationRequest
        var done: CheckedContinuation<Result<String, IdentityError>, Never>
    }

    /// What has come.
    struct Mail: Sendable {
        /// The newest level; it stays.
        var specs: Set<SecretSpec> = []
        var rotations: [Rotation] = []
        var answers: [ACMAnswer] = []
        var isClosed = false
    }

    private let mail = Mutex(Mail())
    /// Something has come, or a second has passed.
    let arrivals: AsyncStream<Void>
    private let arrived: AsyncStream<Void>.Continuation

    init() {
        (arrivals, arrived) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func want(_ specs: Set<SecretSpec>) {
        mail.withLock { $0.specs = specs }
        wake()
    }

    func rotate(
        _ request: RotationRequest,
        _ done: CheckedContinuation<Result<String, IdentityError>, Never>
    ) {
        let isClosed = mail.withLock { mail in
            if !mail.isClosed { mail.rotations.append(Rotation(request: request, done: done)) }
            return mail.isClosed
        }
        if isClosed { done.resume(returning: .failure(Self.closed)) } else { wake() }
    }

    func take(_ answer: ACMAnswer) {
        mail.withLock { $0.answers.append(answer) }
        wake()
    }

    func wake() { arrived.yield() }

    /// All that has come; the level stays.
    func take() -> Mail {
        mail.withLock { mail in
            let taken = mail
            mail.rotations = []
            mail.answers = []
            return taken
        }
    }

    /// Refuses all that waits and comes.
    func close() {
        let rotations = mail.withLock { mail in
            mail.isClosed = true
            return mail.rotations
        }
        for rotation in rotations { rotation.done.resume(returning: .failure(Self.closed)) }
    }

    private static var closed: IdentityError {
        IdentityError("nothing is rotated, as Heddle is about to stop; ask again when it runs")
    }
}

/// The newest observations, and a word to the reader when they changed.
final class IdentityBoard: Sendable {
    private let observations = Mutex(IdentityObservations())
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    init() {
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func show(_ new: IdentityObservations) {
        let isNews = observations.withLock { observations in
            guard observations != new else { return false }
            observations = new
            return true
        }
        if isNews { changed.yield() }
    }

    var newest: some AsyncSequence<IdentityObservations, Never> & Sendable {
        changes.map { [self] _ in current }
    }

    var current: IdentityObservations { observations.withLock { $0 } }
}
