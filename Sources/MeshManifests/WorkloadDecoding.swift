import MeshModel

extension Fields {
    /// `spec` of a Workload.
    func workload() -> WorkloadSpec? {
        let address = string("address")
        if let address, !isIPAddress(address) {
            error(
                "address",
                "\(quoted(address)) is not an IP address",
                "give an IPv4 or IPv6 address such as 127.0.0.1"
            )
        }
        let command = strings("command", count: 1...Int.max)
        if let program = command?.first, program.isEmpty {
            error("command", "the command's first word is empty", "name a program")
        }
        let directory = filePath("workingDirectory")
        let sidecar = object("sidecar") { sidecar in
            (
                resources: sidecar.object("resources") { $0.sidecarResources() },
                mounts: sidecar.secretMounts()
            )
        }
        return WorkloadSpec(
            address: address,
            ports: applicationPorts(),
            command: command ?? [],
            environment: environment(),
            workingDirectory: directory
                ?? command.map { _ in absolutePath(".", in: report.folder) },
            sidecar: sidecar?.resources ?? SidecarResources(),
            secretMounts: sidecar?.mounts ?? [:]
        )
    }

    /// `ports`, whose keys are ports too.
    private func applicationPorts() -> [Port: Port] {
        guard let entry = entry("ports") else { return [:] }
        guard let members = entry.value.entries else {
            error(
                "ports",
                "expected a mapping, found \(entry.value.description)",
                "write it as {8080: 9081}"
            )
            return [:]
        }
        var ports: [Port: Port] = [:]
        for member in members {
            let path = pathOfMember(member.key, in: path(of: "ports"))
            let target = integer(member.value, path, line: member.line, in: 1...65535)
            guard let port = Int(member.key).flatMap({ Port($0) }) else {
                let problem = "\(quoted(member.key)) is not a port"
                report.error(path, line: member.line, problem, "use 1 to 65535")
                continue
            }
            ports[port] = target.flatMap { Port($0) }
        }
        return ports
    }

    /// `secretMounts`: paths that manifests name, and the folders that they are here.
    private func secretMounts() -> [String: String] {
        guard let entry = entry("secretMounts") else { return [:] }
        guard let members = entry.value.entries else {
            error(
                "secretMounts",
                "expected a mapping, found \(entry.value.description)",
                "write it as {/certs: ./certs}"
            )
            return [:]
        }
        var mounts: [String: String] = [:]
        for member in members where member.duplicateOfLine == nil {
            let path = pathOfMember(member.key, in: path(of: "secretMounts"))
            let folder = filePath(member.value, path, line: member.line)
            guard member.key.hasPrefix("/"), isOneLine(member.key) else {
                let problem = "\(quoted(member.key)) is not an absolute path"
                report.error(path, line: member.line, problem, "begin it with \"/\"")
                continue
            }
            let mount = absolutePath(member.key, in: "/")
            guard mounts[mount] == nil else {
                let problem = "\(quoted(member.key)) is \(quoted(mount)), which is given already"
                report.error(path, line: member.line, problem, "keep one")
                continue
            }
            mounts[mount] = folder
        }
        return mounts
    }

    private func environment() -> [String: String] {
        let environment = stringMap("env") ?? [:]
        for name in environment.keys.sorted() where name.isEmpty || name.contains("=") {
            error("env", "\(quoted(name)) cannot be the name of a variable", "rename it")
        }
        return environment
    }

    /// The amounts under `resources`; the defaults of requests give way to a smaller limit.
    private func sidecarResources() -> SidecarResources {
        let limits = object("limits") { $0.amounts() }
        let requests = object("requests") { requests in
            let amounts = requests.amounts()
            for (name, request, limit) in [
                ("cpu", amounts.cpu, limits?.cpu), ("memory", amounts.memory, limits?.memory),
            ] {
                guard let request, let limit, request.value > limit.value else { continue }
                requests.error(
                    name,
                    "the request \(quoted(request.text)) is above the limit \(quoted(limit.text))",
                    "lower the request or raise the limit"
                )
            }
            return amounts
        }
        let advice = SidecarResources()
        let cpuLimit = limits?.cpu?.value
        let memoryLimit = limits?.memory?.value
        return SidecarResources(
            cpuRequestMillicores: requests?.cpu?.value
                ?? min(advice.cpuRequestMillicores, cpuLimit ?? .max),
            memoryRequestBytes: requests?.memory?.value
                ?? min(advice.memoryRequestBytes, memoryLimit ?? .max),
            cpuLimitMillicores: cpuLimit,
            memoryLimitBytes: memoryLimit
        )
    }

    private func amounts() -> (cpu: Amount?, memory: Amount?) {
        (
            amount("cpu", inThousandths: true, example: "250m or 0.5"),
            amount("memory", inThousandths: false, example: "256Mi")
        )
    }

    /// A Kubernetes quantity above zero, which may be written without quotes.
    private func amount(_ key: String, inThousandths: Bool, example: String) -> Amount? {
        guard let entry = entry(key) else { return nil }
        let text: String?
        switch entry.value.content {
        case .scalar(.integer(_, let number)), .scalar(.number(_, let number)): text = number
        case .scalar(.string(let string)): text = string
        case .scalar, .sequence, .mapping: text = nil
        }
        if let text, let value = quantity(text, inThousandths: inThousandths), value > 0 {
            // No Envoy has use for more threads, nor a host so much memory.
            let largest = inThousandths ? 256_000 : 1 << 50
            guard value > largest else { return Amount(value: value, text: text) }
            error(
                key,
                "\(entry.value.description) is more than any host has",
                "write it as \(example)"
            )
            return nil
        }
        error(
            key,
            "expected a quantity above zero, found \(entry.value.description)",
            "write it as \(example)"
        )
        return nil
    }
}

/// A quantity and how it was written.
private struct Amount {
    var value: Int
    var text: String
}
