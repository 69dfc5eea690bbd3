import Synchronization

/// The memory that bodies of all connections share.
///
/// Guarantee: what one body holds below `free` is never refused, so that reviews of usual length pass while
/// others hold all the rest.
final class BodyMemory: Sendable {
    /// What one body may hold in any case.
    static let free = 64 << 10

    /// What one body holds, until `giveBack()`.
    final class Share: Sendable {
        private let memory: BodyMemory
        private let address: String
        private let bytes = Mutex(0)

        fileprivate init(_ memory: BodyMemory, _ address: String) {
            self.memory = memory
            self.address = address
        }

        /// Takes more; false, and nothing is taken, when there is no more.
        func take(_ more: Int) -> Bool {
            bytes.withLock { bytes in
                let counted = excess(bytes + more) - excess(bytes)
                guard memory.take(counted, address) else { return false }
                bytes += more
                return true
            }
        }

        /// Gives all back.
        func giveBack() {
            bytes.withLock { bytes in
                memory.giveBack(excess(bytes), address)
                bytes = 0
            }
        }

        private func excess(_ bytes: Int) -> Int { max(bytes - BodyMemory.free, 0) }
    }

    private struct State {
        var all = 0
        var ofAddress: [String: Int] = [:]
    }

    private let limit: Int
    private let limitOfAddress: Int
    private let state = Mutex(State())

    /// Makes the memory of `limit` bytes, a quarter of which is for the bodies of one address.
    init(limit: Int) {
        self.limit = limit
        limitOfAddress = limit / 4
    }

    /// How much is taken beyond what each body may hold.
    var taken: Int { state.withLock { $0.all } }

    /// A share for a body from `address`, which holds nothing yet.
    func share(of address: String) -> Share { Share(self, address) }

    private func take(_ bytes: Int, _ address: String) -> Bool {
        guard bytes > 0 else { return true }
        return state.withLock { state in
            let held = state.ofAddress[address] ?? 0
            guard state.all + bytes <= limit, held + bytes <= limitOfAddress else { return false }
            state.all += bytes
            state.ofAddress[address] = held + bytes
            return true
        }
    }

    private func giveBack(_ bytes: Int, _ address: String) {
        state.withLock { state in
            let rest = (state.ofAddress[address] ?? 0) - bytes
            state.ofAddress[address] = rest > 0 ? rest : nil
            state.all -= bytes
        }
    }
}
