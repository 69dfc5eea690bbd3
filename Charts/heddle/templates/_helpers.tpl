{{- define "heddle.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, with the chart's unless it has that already. */}}
{{- define "heddle.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "heddle.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "heddle.selectorLabels" -}}
app.kubernetes.io/name: {{ include "heddle.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "heddle.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "heddle.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "heddle.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "heddle.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/*
The image of `.image` as JSON with repository and tag; `.default` where a values file of App Mesh's
chart names one of App Mesh's images, which would not do here: its controller, its Envoy or its
iptables script, known by the repository or, where only that was given, by the tag.
*/}}
{{- define "heddle.image" -}}
{{- $image := .image | default dict }}
{{- if or (eq (include "heddle.isOfAppMesh" $image) "true") (not $image.repository) }}
{{- .default | toJson }}
{{- else }}
{{- dict "repository" $image.repository "tag" ($image.tag | default .default.tag | toString) | toJson }}
{{- end }}
{{- end }}

{{/* The image whose JSON it is given, as containers name it. */}}
{{- define "heddle.imageName" -}}
{{- $image := fromJson . }}
{{- printf "%s%s%s" $image.repository (ternary "@" ":" (hasPrefix "sha256:" $image.tag)) $image.tag }}
{{- end }}

{{/* "true" if the image is one of App Mesh's. */}}
{{- define "heddle.isOfAppMesh" -}}
{{- $repository := .repository | default "" }}
{{- $tag := .tag | default "" | toString }}
{{- or (regexMatch "(appmesh-controller|aws-appmesh-envoy|aws-appmesh-proxy-route-manager)$" $repository) (regexMatch "^v1\\.[0-9]+\\.[0-9]+\\.[0-9]+(-prod)?$|^v[0-9]+-prod$" $tag) }}
{{- end }}

{{/* Its repository is empty where none is given, which `heddle.mistakes` tells of. */}}
{{- define "heddle.controllerImage" -}}
{{- $none := dict "repository" "" "tag" .Chart.AppVersion }}
{{- include "heddle.image" (dict "image" .Values.image "default" $none) }}
{{- end }}

{{- define "heddle.proxyImage" -}}
{{- $stock := dict "repository" "envoyproxy/envoy" "tag" "v1.40.0" }}
{{- include "heddle.image" (dict "image" .Values.sidecar.image "default" $stock) }}
{{- end }}

{{- define "heddle.initImage" -}}
{{- $own := include "heddle.controllerImage" . | fromJson }}
{{- include "heddle.image" (dict "image" .Values.init.image "default" $own) }}
{{- end }}

{{/* The name by which proxies and the API server reach the replicas. */}}
{{- define "heddle.serviceName" -}}
{{ include "heddle.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/*
A line for each mistake in the values that no schema finds. Heddle itself refuses all but the first when it
starts, which is late: App Mesh's controller has ended by then.
*/}}
{{- define "heddle.mistakes" -}}
{{- $sidecar := .Values.sidecar }}
{{- $stats := .Values.stats }}
{{- $tracing := .Values.tracing }}
{{- if not (include "heddle.controllerImage" . | fromJson).repository }}
image.repository: {{ with .Values.image.repository }}{{ . }} is App Mesh's controller{{ else }}not given{{ end }}, and nobody publishes an image of Heddle; build one from Charts/Dockerfile for the platform of your Kubernetes nodes, push it to a registry of yours, and give its name: --set image.repository=REGISTRY/heddle --set image.tag={{ .Chart.AppVersion }}
{{- end }}
{{- if and $tracing.enabled (eq $tracing.provider "x-ray") (not .Values.region) }}
region: empty, and the X-Ray daemon needs it, as tracing.provider is x-ray; name an AWS region
{{- end }}
{{- if and $stats.statsdEnabled (not $stats.statsdSocketPath) (not (regexMatch "^([0-9]{1,3}[.]){3}[0-9]{1,3}$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$|^ref:status[.]hostIP$" $stats.statsdAddress)) }}
stats.statsdAddress: {{ quote $stats.statsdAddress }} is not an IP address, and Envoy takes no name; give one, or ref:status.hostIP
{{- end }}
{{- if has (int $sidecar.readinessPort) (list 15000 15001 (int $sidecar.envoyAdminAccessPort)) }}
sidecar.readinessPort: {{ $sidecar.readinessPort }} is taken by the proxy; use another
{{- end }}
{{- end }}

{{/* A line for each value of App Mesh's chart that was given and has no effect here. */}}
{{- define "heddle.withoutEffect" -}}
{{- $values := .Values }}
{{- $reasons := dict
  "accountId" "nothing here asks AWS"
  "clusterName" "nothing here asks EKS; a Mesh's ipPreference is what its manifest says"
  "preview" "there is no preview channel"
  "enableBackendGroups" "BackendGroups are always taken"
  "useAwsDualStackEndpoint" "nothing here asks AWS"
  "useAwsFIPSEndpoint" "nothing here asks AWS"
  "cloudMapCustomHealthCheck" "Pods are found without Cloud Map"
  "cloudMapDNS" "Pods are found without Cloud Map"
  "enableCertManager" "Heddle makes the webhooks' certificates"
  "tlsMinVersion" "it is TLS 1.3"
  "tlsCipherSuite" "they are those of TLS 1.3"
  "livenessProbe" "the probe is Heddle's own" }}
{{- range $key := keys $reasons | sortAlpha }}
{{- if hasKey $values $key }}
- {{ $key }}: {{ get $reasons $key }}
{{- end }}
{{- end }}
{{- range $key := list "envoyAdminAccessEnableIPv6" "envoyAdminAccessLogFile" }}
{{- if hasKey $values.sidecar $key }}
- sidecar.{{ $key }}: the admin interface is for the Pod alone, and its log is not kept
{{- end }}
{{- end }}
{{- range $key := list "useDualStackEndpoint" "useFipsEndpoint" }}
{{- if hasKey $values.sidecar $key }}
- sidecar.{{ $key }}: proxies ask Heddle, not AWS
{{- end }}
{{- end }}
{{- if hasKey $values.rbac "pspEnabled" }}
- rbac.pspEnabled: Kubernetes has no PodSecurityPolicy any more
{{- end }}
{{- if and $values.tracing.enabled (ne $values.tracing.provider "x-ray") (hasPrefix "ref:" $values.tracing.address) }}
- tracing.address: {{ $values.tracing.address }} differs from Pod to Pod, and all proxies of a node are told one; spans go to {{ get (dict "jaeger" "appmesh-jaeger.appmesh-system" "datadog" "datadog.appmesh-system") $values.tracing.provider }}. Name a Service, such as one with internalTrafficPolicy: Local
{{- end }}
{{- range $path, $image := dict "image" $values.image "sidecar.image" $values.sidecar.image "init.image" $values.init.image }}
{{- if and (ne $path "image") (eq (include "heddle.isOfAppMesh" $image) "true") }}
- {{ $path }}: {{ $image.repository }}:{{ $image.tag }} is App Mesh's
{{- end }}
{{- end }}
{{- end }}
