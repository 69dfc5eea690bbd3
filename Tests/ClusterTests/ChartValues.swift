/// Values files of the tests.
enum ChartValues {
    /// What nobody can do without: an image of Heddle, with the chart's own tag.
    static let image = """
        image: {repository: registry.example.com/heddle, tag: ""}

        """

    /// All values of App Mesh's own chart, with its defaults and an account's name here and there.
    static let ofAppMesh = """
        replicaCount: 1
        region: eu-west-1
        accountId: "123456789012"
        preview: false
        enableBackendGroups: true
        clusterName: shop
        useAwsDualStackEndpoint: false
        useAwsFIPSEndpoint: false
        image:
          repository: registry.example.com/amazon/appmesh-controller
          tag: v1.13.1
          pullPolicy: IfNotPresent
        sidecar:
          image: {repository: registry.example.com/aws-appmesh-envoy, tag: v1.29.9.0-prod}
          logLevel: warn
          envoyAdminAccessPort: 9901
          envoyAdminAccessLogFile: /tmp/envoy_admin_access.log
          envoyAdminAccessEnableIPv6: false
          useDualStackEndpoint: false
          useFipsEndpoint: false
          resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {cpu: "", memory: ""}}
          lifecycleHooks: {preStopDelay: 30, postStartInterval: 5, postStartTimeout: 180}
          probes: {readinessProbeInitialDelay: 1, readinessProbePeriod: 10}
          waitUntilProxyReady: false
        init:
          image: {repository: registry.example.com/aws-appmesh-proxy-route-manager, tag: v7-prod}
        xray:
          image: {repository: public.ecr.aws/xray/aws-xray-daemon, tag: latest}
        nameOverride: ""
        fullnameOverride: ""
        resources:
          limits: {cpu: 2000m, memory: 1Gi}
          requests: {cpu: 100m, memory: 200Mi}
        nodeSelector: {}
        tolerations: []
        affinity: {}
        podAnnotations: {}
        podLabels: {}
        cloudMapCustomHealthCheck: {enabled: false}
        cloudMapDNS: {ttl: 300}
        sds: {enabled: false, udsPath: /run/spire/sockets/agent.sock}
        serviceAccount: {create: true, name: appmesh-controller, annotations: {}}
        rbac: {create: true, pspEnabled: false}
        log: {level: info}
        tracing:
          enabled: true
          provider: x-ray
          address: appmesh-jaeger.appmesh-system
          port: 2000
          samplingRate: 0.05
          logLevel: prod
          role: ""
        stats:
          tagsEnabled: false
          statsdEnabled: true
          statsdAddress: ref:status.hostIP
          statsdPort: 8125
          statsdSocketPath: ""
        enableCertManager: false
        podDisruptionBudget: {}
        env: {http_proxy: "http://proxy.example.com:3128"}
        tlsMinVersion: VersionTLS12
        tlsCipherSuite:
        livenessProbe:
          failureThreshold: 2
          httpGet: {path: /healthz, port: 61779, scheme: HTTP}
          initialDelaySeconds: 30
          timeoutSeconds: 10

        """

    /// Everything that can be on.
    static let everything = """
        replicaCount: 3
        image: {repository: registry.example.com/heddle, tag: sha256:0123}
        imagePullSecrets: [{name: pull}]
        fullnameOverride: mesh
        log: {level: debug}
        sidecar:
          image: {repository: registry.example.com/envoy, tag: v1.40.1}
          waitUntilProxyReady: true
          resources: {limits: {memory: 512Mi}}
        init:
          image: {repository: registry.example.com/redirect, tag: 1}
        nativeSidecars: enabled
        ipFamily: IPv6
        sds: {enabled: true}
        tracing: {enabled: true, provider: datadog, samplingRate: "0.5"}
        stats: {tagsEnabled: true}
        webhooks:
          pods: {failurePolicy: Ignore}
          objects: {failurePolicy: Ignore}
          timeoutSeconds: 5
        authority: {secretName: root}
        serviceAccount: {annotations: {example.com/role: mesh}}
        state: {sizeLimit: 4Gi}
        podDisruptionBudget: {minAvailable: 2}
        nodeSelector: {kubernetes.io/os: linux}
        tolerations: [{operator: Exists}]
        affinity: {nodeAffinity: {}}
        topologySpreadConstraints:
          - {maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}
        podAnnotations: {a: b}
        podLabels: {c: d}
        priorityClassName: system-cluster-critical
        env: {AWS_REGION: eu-west-1}
        serviceMonitor: {enabled: true, labels: {release: prometheus}}
        prometheusRule: {enabled: true, labels: {release: prometheus}}
        networkPolicy:
          enabled: true
          webhookFrom: [{ipBlock: {cidr: 10.0.0.0/28}}]
          metricsFrom: [{namespaceSelector: {matchLabels: {team: ops}}}]

        """
}
