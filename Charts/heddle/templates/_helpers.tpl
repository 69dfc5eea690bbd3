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

{{- define "heddle.controllerImage" -}}
{{- $own := dict "repository" "heddle" "tag" .Chart.AppVersion }}
{{- include "heddle.image" (dict "image" .Values.image "default" $own) }}
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
{{- range $path, $image := dict "image" $values.image "sidecar.image" $values.sidecar.image "init.image" $values.init.image }}
{{- if eq (include "heddle.isOfAppMesh" $image) "true" }}
- {{ $path }}: {{ $image.repository }}:{{ $image.tag }} is App Mesh's
{{- end }}
{{- end }}
{{- end }}
