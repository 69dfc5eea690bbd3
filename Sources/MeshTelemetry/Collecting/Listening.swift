internal import GRPCCore
internal import Glibc
internal import Logging
internal import MeshModel
internal import NIOCore
internal import ServiceLifecycle

/// Keeps a server up: where it cannot listen there is one warning, and it tries again every few seconds.
struct Listening: Sendable {
    /// What the address is for, such as `X-Ray segments over UDP`.
    let purpose: String
    let address: TelemetryEndpoint
    /// The option of `heddle run` that says another address.
    let flag: String
    let logger: Logger
    let sleep: @Sendable (Duration) async throws -> Void

    private static let pause = Duration.seconds(3)

    /// Runs `serve` again and again until graceful shutdown.
    ///
    /// `serve` listens, calls its argument once it does, and serves until it is shut down.
    func run(
        _ serve:
            @escaping @Sendable (_ listens: @escaping @Sendable () -> Void) async throws -> Void
    ) async throws {
        var isWarned = false
        while !isEnding {
            do {
                try await serve {
                    logger.info(
                        "listening for \(purpose)",
                        metadata: ["address": "\(address)"]
                    )
                }
                isWarned = false
            } catch is CancellationError {
                return
            } catch {
                if !isWarned { warn(error) }
                isWarned = true
            }
            guard !isEnding else { return }
            try? await cancelWhenGracefulShutdown { try await sleep(Listening.pause) }
        }
    }

    private var isEnding: Bool { Task.isShuttingDownGracefully || Task.isCancelled }

    private func warn(_ error: any Error) {
        logger.warning(
            """
            cannot listen for \(purpose), and tries again; stop the other process or pass \(flag)
            """,
            metadata: ["address": "\(address)", "error": "\(Listening.reason(error))"]
        )
    }

    /// What went wrong, without what NIO says around it.
    private static func reason(_ error: any Error) -> String {
        if let error = error as? RuntimeError, let cause = error.cause { return reason(cause) }
        guard let error = error as? IOError else { return "\(error)" }
        return String(cString: strerror(error.errnoCode)).lowercased()
    }
}
