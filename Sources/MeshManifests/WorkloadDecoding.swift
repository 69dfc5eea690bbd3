import MeshModel

extension Fields {
    /// `spec` of a Workload; `annotations` count where it says nothing of resources.
    func workload(_ annotations: SidecarAmounts = SidecarAmounts()) -> WorkloadSpec? {
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
                resources: sidecar.object("resources") { $0.sidecarAmounts() },
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
            sidecar: sidecarResources((sidecar?.resources ?? SidecarAmounts()).or(annotations)),
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

    /// The amounts under `resources`.
    private func sidecarAmounts() -> SidecarAmounts {
        var amounts = SidecarAmounts()
        _ = object("limits") { limits in
            (amounts.cpuLimit, amounts.memoryLimit) = (limits.cpu("cpu"), limits.memory("memory"))
        }
        _ = object("requests") { requests in
            amounts.cpuRequest = requests.cpu("cpu")
            amounts.memoryRequest = requests.memory("memory")
        }
        return amounts
    }

    /// The annotations by which App Mesh's injector sized the proxy of a Pod, from the fields of the
    /// whole object.
    func sidecarAnnotations() -> SidecarAmounts {
        let fields = annotationFields()
        return SidecarAmounts(
            cpuRequest: fields.cpu("appmesh.k8s.aws/cpuRequest"),
            memoryRequest: fields.memory("appmesh.k8s.aws/memoryRequest"),
            cpuLimit: fields.cpu("appmesh.k8s.aws/cpuLimit"),
            memoryLimit: fields.memory("appmesh.k8s.aws/memoryLimit")
        )
    }

    /// Resources of these amounts; the defaults of requests give way to a smaller limit.
    private func sidecarResources(_ amounts: SidecarAmounts) -> SidecarResources {
        for (request, limit) in [
            (amounts.cpuRequest, amounts.cpuLimit), (amounts.memoryRequest, amounts.memoryLimit),
        ] {
            guard let request, let limit, request.value > limit.value else { continue }
            report.error(
                request.path,
                line: request.line,
                "the request \(quoted(request.text)) is above the limit \(quoted(limit.text))",
                "lower the request or raise the limit"
            )
        }
        let advice = SidecarResources()
        let cpuLimit = amounts.cpuLimit?.value
        let memoryLimit = amounts.memoryLimit?.value
        return SidecarResources(
            cpuRequestMillicores: amounts.cpuRequest?.value
                ?? min(advice.cpuRequestMillicores, cpuLimit ?? .max),
            memoryRequestBytes: amounts.memoryRequest?.value
                ?? min(advice.memoryRequestBytes, memoryLimit ?? .max),
            cpuLimitMillicores: cpuLimit,
            memoryLimitBytes: memoryLimit
        )
    }

    private func cpu(_ key: String) -> Amount? {
        amount(key, inThousandths: true, example: "250m or 0.5")
    }

    private func memory(_ key: String) -> Amount? {
        amount(key, inThousandths: false, example: "256Mi")
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
            guard value > largest else {
                return Amount(value: value, text: text, path: path(of: key), line: entry.line)
            }
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

/// A quantity, how it was written, and where.
struct Amount {
    var value: Int
    var text: String
    var path: String
    var line: Int
}

/// What is said of a proxy's resources, in one place.
struct SidecarAmounts {
    var cpuRequest: Amount?
    var memoryRequest: Amount?
    var cpuLimit: Amount?
    var memoryLimit: Amount?

    /// These amounts, and where one is absent that of `others`.
    func or(_ others: SidecarAmounts) -> SidecarAmounts {
        SidecarAmounts(
            cpuRequest: cpuRequest ?? others.cpuRequest,
            memoryRequest: memoryRequest ?? others.memoryRequest,
            cpuLimit: cpuLimit ?? others.cpuLimit,
            memoryLimit: memoryLimit ?? others.memoryLimit
        )
    }
}
