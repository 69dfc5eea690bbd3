internal import Synchronization

/// The connections from elsewhere, and which of them proved who they are: the others are few, and few
/// from one address, and do not stay.
final class ConnectionRegistry: Sendable {
    /// How many connections may be open that have proved nothing, and for how long.
    struct Limits: Hashable, Sendable {
        /// In all.
        var unproven = 2048
        /// From one address; every Pod has its own.
        var unprovenOfOneAddress = 256
        /// Until the end of the TLS handshake.
        var handshake = Duration.seconds(5)
        /// From then until a stream is open.
        var proof = Duration.seconds(20)
    }

    private struct State {
        /// The addresses of those that have proved nothing, by what gRPC calls their peers.
        var unproven: [String: String] = [:]
        var ofAddress: [String: Int] = [:]
        var refused = 0
    }

    let limits: Limits
    private let state = Mutex(State())

    init(limits: Limits = Limits()) { self.limits = limits }

    /// Takes a connection in; false when there are too many that have proved nothing.
    func opened(_ peer: String, from address: String) -> Bool {
        state.withLock { state in
            let ofAddress = state.ofAddress[address] ?? 0
            guard state.unproven.count < limits.unproven, ofAddress < limits.unprovenOfOneAddress
            else {
                state.refused += 1
                return false
            }
            state.unproven[peer] = address
            state.ofAddress[address] = ofAddress + 1
            return true
        }
    }

    /// Notes that a stream of `peer` proved who it is.
    func authenticated(_ peer: String) { forget(peer) }

    /// Notes that the connection is no more.
    func closed(_ peer: String) { forget(peer) }

    /// Whether the connection is open and has proved nothing.
    func isUnproven(_ peer: String) -> Bool { state.withLock { $0.unproven[peer] != nil } }

    /// How many have proved nothing.
    var unprovenCount: Int { state.withLock { $0.unproven.count } }

    /// How many connections were refused, as too many had proved nothing.
    var refusedCount: Int { state.withLock { $0.refused } }

    private func forget(_ peer: String) {
        state.withLock { state in
            guard let address = state.unproven.removeValue(forKey: peer) else { return }
            let rest = (state.ofAddress[address] ?? 1) - 1
            state.ofAddress[address] = rest > 0 ? rest : nil
        }
    }
}
