import MeshManifests
import MeshModel
import Testing

/// `text` with the resources `cpu` and `mebibytes` for demo/blue, as text.
func edited(
    _ text: String,
    cpu: Int = 10,
    mebibytes: Int = 40,
    cpuLimit: Int? = nil,
    limit: Int? = nil,
    namespace: String = "demo"
) throws -> String {
    let resources = SidecarResources(
        cpuRequestMillicores: cpu,
        memoryRequestBytes: mebibytes << 20,
        cpuLimitMillicores: cpuLimit,
        memoryLimitBytes: limit.map { $0 << 20 }
    )
    let result = try settingResources(
        resources,
        ofProxyBeside: ObjectReference(namespace: namespace, name: "blue"),
        in: Array(text.utf8),
        path: "demo.yaml"
    )
    return String(decoding: result, as: UTF8.self)
}

/// Why `text` can't be edited.
func refusal(_ text: String) -> String {
    do {
        return "edited: " + (try edited(text))
    } catch {
        return "\(error)"
    }
}

/// A Workload demo/blue with `rest` below `spec:`, indented by two.
private func workload(_ rest: String, break lineBreak: String = "\n") -> String {
    let head = """
        # The blue one.
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: blue, namespace: demo, labels: {app: blue}}
        spec:

        """
    let body = rest.split(separator: "\n", omittingEmptySubsequences: false)
        .map { $0.isEmpty ? "" : "  \($0)" }
    return (head + body.joined(separator: "\n")).replacing("\n", with: lineBreak)
}

@Suite struct ResourceEditingTests {
    /// What stands below `spec:` before and after.
    static let shapes: [(before: String, after: String)] = [
        (
            """
            ports: {8080: 9081}
            sidecar:
              resources:
                requests:
                  cpu: 250m     # App Mesh's advice
                  # of 2019
                  memory: 256Mi
                # No limits.
            command: [python3, -m, http.server]

            """,
            """
            ports: {8080: 9081}
            sidecar:
              resources:
                requests:
                  cpu: 10m     # App Mesh's advice
                  # of 2019
                  memory: 40Mi
                # No limits.
            command: [python3, -m, http.server]

            """
        ),
        (
            "sidecar: {resources: {requests: {cpu: 250m, memory: 256Mi}}} # short\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}} # short\n"
        ),
        (
            "sidecar: {resources: {requests: {cpu: 0.25}}}\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}}\n"
        ),
        (
            "sidecar: {resources: {requests: {memory: 256Mi, }}}\n",
            "sidecar: {resources: {requests: {memory: 40Mi, cpu: 10m, }}}\n"
        ),
        (
            "sidecar: {resources: {}}\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}}\n"
        ),
        (
            "sidecar: {}\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}}\n"
        ),
        (
            "sidecar: {resources: null}\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}}\n"
        ),
        (
            "sidecar: {resources: }\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}} }\n"
        ),
        (
            "sidecar: ~ # none\nports: {}\n",
            "sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}} # none\nports: {}\n"
        ),
        (
            """
            sidecar: # none yet
            # The port:
            ports: {8080: 1}

            """,
            """
            sidecar: # none yet
              resources:
                requests:
                  cpu: 10m
                  memory: 40Mi
            # The port:
            ports: {8080: 1}

            """
        ),
        (
            """
            sidecar:
                resources:
                    requests: {
                        cpu: 250m # much
                    }
            ports: {8080: 1}

            """,
            """
            sidecar:
                resources:
                    requests: {
                        cpu: 10m, # much
                        memory: 40Mi
                    }
            ports: {8080: 1}

            """
        ),
        (
            """
            sidecar:
                secretMounts: {/certs: ./certs}   # TLS
            # The end.

            """,
            """
            sidecar:
                secretMounts: {/certs: ./certs}   # TLS
                resources:
                    requests:
                        cpu: 10m
                        memory: 40Mi
            # The end.

            """
        ),
        (
            """
            sidecar:
              resources:
                requests:
                  cpu: '250m'
                  memory: "256Mi"

            """,
            """
            sidecar:
              resources:
                requests:
                  cpu: '10m'
                  memory: "40Mi"

            """
        ),
        (
            """
            sidecar:
              resources:
                requests:
                  cpu: 10m
                  memory:
                limits:
            env: {A: b}
            """,
            """
            sidecar:
              resources:
                requests:
                  cpu: 10m
                  memory: 40Mi
                limits:
            env: {A: b}
            """
        ),
        (
            """
            env: {A: b}
            command: ["a"]
            """,
            """
            env: {A: b}
            command: ["a"]
            sidecar:
              resources:
                requests:
                  cpu: 10m
                  memory: 40Mi
            """
        ),
        (
            """
            command:
            - a
            - |
              b
              c

            """,
            """
            command:
            - a
            - |
              b
              c
            sidecar:
              resources:
                requests:
                  cpu: 10m
                  memory: 40Mi

            """
        ),
        (
            """
            sidecar:
              resources:
                "requests": {"cpu": 0.25, "memory": "256Mi"}
            # Grüße aus Köln: ½ → ∞

            """,
            """
            sidecar:
              resources:
                "requests": {"cpu": "10m", "memory": "40Mi"}
            # Grüße aus Köln: ½ → ∞

            """
        ),
        (
            """
            env: {GRUSS: "Grüße 😀"} # ½
            sidecar: {resources: {requests: {cpu: 250m, memory: 256Mi}}}

            """,
            """
            env: {GRUSS: "Grüße 😀"} # ½
            sidecar: {resources: {requests: {cpu: 10m, memory: 40Mi}}}

            """
        ),
        (
            "sidecar: {resources: {requests: {cpu: 0.01, memory: 41943040}}}\n",
            "sidecar: {resources: {requests: {cpu: 0.01, memory: 41943040}}}\n"
        ),
    ]

    @Test(arguments: shapes, ["\n", "\r\n"])
    func `only the amounts change`(
        shape: (before: String, after: String),
        lineBreak: String
    ) throws {
        let result = try edited(workload(shape.before, break: lineBreak))
        #expect(result == workload(shape.after, break: lineBreak))
        #expect(try edited(result) == result)
        // Beside others, and in a file with a byte order mark.
        let mark = "\u{FEFF}"
        let other = workload(shape.before, break: lineBreak)
            .replacing("namespace: demo", with: "namespace: other")
        let end = shape.before.hasSuffix("\n") ? "" : lineBreak
        let separator = "\(end)---\(lineBreak)"
        let before = workload(shape.before, break: lineBreak)
        #expect(
            try edited(mark + other + separator + before + separator + other)
                == mark + other + separator + result + separator + other
        )
    }

    @Test func `a limit is changed where there is one`() throws {
        let text = workload("sidecar: {resources: {limits: {cpu: 500m, memory: 64Mi}}}\n")
        #expect(
            try edited(text, mebibytes: 96, cpuLimit: 500, limit: 128)
                == workload(
                    "sidecar: {resources: {limits: {cpu: 500m, memory: 128Mi}, "
                        + "requests: {cpu: 10m, memory: 96Mi}}}\n"
                )
        )
        // The default of a request is the limit where that is less.
        #expect(
            try edited(text, cpu: 250, mebibytes: 128, cpuLimit: 500, limit: 128)
                == workload("sidecar: {resources: {limits: {cpu: 500m, memory: 128Mi}}}\n")
        )
    }

    @Test func `a Workload without spec gets one`() throws {
        let head = """
            kind: Workload
            apiVersion: heddle.dev/v1alpha1
            metadata:
                name: blue
                namespace: demo
            """
        let result = """
            \(head)
            spec:
                sidecar:
                    resources:
                        requests:
                            cpu: 10m
                            memory: 40Mi
            """
        #expect(try edited(head) == result)
        #expect(try edited(head + "\n") == result + "\n")
        #expect(try edited(head + "\n...\n") == result + "\n...\n")
        #expect(
            try edited("---\n" + head + "\n--- # next\n") == "---\n" + result + "\n--- # next\n"
        )
    }

    @Test func `an item of a List is edited in its place`() throws {
        func list(_ amounts: String) -> String {
            """
            apiVersion: v1
            kind: List
            items:
            - apiVersion: heddle.dev/v1alpha1
              kind: Workload
              metadata: {name: blue, namespace: other}
            - apiVersion: heddle.dev/v1alpha1
              kind: Workload
              metadata: {name: blue, namespace: demo}
              spec:
                ports: {8080: 80}
            \(amounts)- apiVersion: heddle.dev/v1alpha1
              kind: Workload
              metadata: {name: red, namespace: demo}

            """
        }
        #expect(
            try edited(list(""))
                == list(
                    """
                        sidecar:
                          resources:
                            requests:
                              cpu: 10m
                              memory: 40Mi

                    """
                )
        )
    }

    @Test func `JSON stays JSON`() throws {
        let compact =
            #"{"apiVersion":"heddle.dev/v1alpha1","kind":"Workload","metadata":"#
            + #"{"name":"blue","namespace":"demo"},"spec":{"command":["a"]}}"#
        #expect(
            try edited(compact)
                == compact.dropLast(2) + #", "sidecar": {"resources": "#
                + #"{"requests": {"cpu": "10m", "memory": "40Mi"}}}}}"#
        )
        func pretty(_ spec: String) -> String {
            """
            {
            \t"apiVersion": "heddle.dev/v1alpha1",
            \t"kind": "Workload",
            \t"metadata": {"name": "blue", "namespace": "demo"},
            \t"spec": {
            \t\t\(spec)
            \t}
            }
            """
        }
        #expect(
            try edited(pretty(#""sidecar": {"resources": {"requests": {"cpu": 1}}}"#))
                == pretty(
                    #""sidecar": {"resources": {"requests": {"cpu": "10m", "memory": "40Mi"}}}"#
                )
        )
        #expect(
            try edited(pretty(#""env": {}"#))
                == pretty(
                    "\"env\": {},\n\t\t\"sidecar\": {\"resources\": {\"requests\": "
                        + "{\"cpu\": \"10m\", \"memory\": \"40Mi\"}}}"
                )
        )
    }

    @Test func `App Mesh's annotations are edited where they are what asks`() throws {
        func annotated(_ cpu: String, _ memory: String, _ spec: String) -> String {
            """
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata:
              name: blue
              namespace: demo
              annotations:
                appmesh.k8s.aws/cpuRequest: \(cpu) # one
                appmesh.k8s.aws/memoryRequest: \(memory)
            \(spec)
            """
        }
        #expect(
            try edited(annotated("\"0.1\"", "128Mi", "spec: {}"))
                == annotated("\"10m\"", "40Mi", "spec: {}")
        )
        let spec = "spec: {sidecar: {resources: {requests: {cpu: %}}}}"
        #expect(
            try edited(annotated("\"0.1\"", "'128Mi'", spec.replacing("%", with: "1")))
                == annotated("\"0.1\"", "'40Mi'", spec.replacing("%", with: "10m"))
        )
    }

    @Test(arguments: [
        (
            "sidecar: &a {resources: {requests: {cpu: 250m}}}\nx: *a\n",
            "demo.yaml:6: error: Workload demo/blue: spec.x.resources.requests.cpu: it would change "
                + "too, as it shares what is written through an anchor; write the resources of one of "
                + "them out"
        ),
        (
            "x: &a {requests: {cpu: 250m}}\nsidecar: {resources: *a}\n",
            "demo.yaml:7: error: Workload demo/blue: spec.sidecar.resources: it is an alias of a value "
                + "elsewhere; write its value out"
        ),
        (
            "x: &a {requests: {cpu: 250m}}\nsidecar: {resources: {<<: *a}}\n",
            "demo.yaml:7: error: Workload demo/blue: spec.sidecar.resources: it is merged from elsewhere "
                + "(\"<<\"); write its resources out"
        ),
        (
            "sidecar: {resources: {requests: {cpu: &a 250m}}}\n",
            "demo.yaml:6: error: Workload demo/blue: spec.sidecar.resources.requests.cpu: it has an "
                + "anchor or a tag; write its value out"
        ),
        (
            "sidecar: {resources: {requests: {cpu: 1, cpu: 2}}}\n",
            "demo.yaml:6: error: Workload demo/blue: spec.sidecar.resources.requests.cpu: duplicate key "
                + "\"cpu\" (first on line 6); keep one"
        ),
        (
            "sidecar: {resources: 4}\n",
            "demo.yaml:6: error: Workload demo/blue: spec.sidecar.resources: expected a mapping, found "
                + "the number 4; put fields under it"
        ),
        (
            "sidecar:\n\tresources: {}\n",
            "demo.yaml:7: error: not valid YAML: a tab is used as indentation; indent with spaces"
        ),
    ])
    func `what can't be changed alone is refused`(spec: String, message: String) {
        #expect(refusal(workload(spec)) == message)
    }

    @Test func `a Workload that is not there is named`() {
        let message = "Workload demo/blue: it is not in this file; name the file that has it"
        #expect(refusal("") == "demo.yaml:1: error: \(message)")
        let other = workload("").replacing("namespace: demo", with: "namespace: other")
        #expect(refusal(other) == "demo.yaml:1: error: \(message)")
        #expect(
            refusal(workload("ports: {}\n") + "---\n" + workload("ports: {}\n"))
                == "demo.yaml:9: error: Workload demo/blue: metadata.name: duplicate object (first on "
                + "line 2); rename or remove one"
        )
    }

    @Test func `amounts that no manifest may have are refused`() {
        #expect(throws: ManifestEditError.self) {
            try edited(workload("ports: {}\n"), mebibytes: 64, limit: 32)
        }
        #expect(throws: ManifestEditError.self) {
            try edited(workload("sidecar: {resources: {limits: {memory: 1Gi}}}\n"))
        }
    }
}
