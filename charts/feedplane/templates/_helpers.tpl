{{/* Short name of the application. */}}
{{- define "feedplane.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 36 | trimSuffix "-" }}
{{- end }}

{{/* Leads the name of every object; room is left for suffixes such as -clickhouse-lite-0 and a pod's hash. */}}
{{- define "feedplane.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" }}
{{- else if contains (include "feedplane.name" .) .Release.Name }}
{{- .Release.Name | trunc 36 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "feedplane.name" .) | trunc 36 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "feedplane.serviceAccountName" -}}
{{- default (ternary (include "feedplane.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* Labels that selectors use; never changed after an install. Takes (dict "root" $ "component" "operator"). */}}
{{- define "feedplane.selectorLabels" -}}
app.kubernetes.io/name: {{ include "feedplane.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "feedplane.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "feedplane.selectorLabels" . }}
app.kubernetes.io/part-of: feedplane
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata.annotations of an object, or nothing. Takes "root" and perhaps "annotations". */}}
{{- define "feedplane.annotations" -}}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Reference of an image by its short name, as the operator makes those of collectors. Takes "root" and "name". */}}
{{- define "feedplane.image" -}}
{{- $images := .root.Values.images }}
{{- $base := printf "%s%s" $images.prefix .name }}
{{- if $images.registry }}{{ $base = printf "%s/%s" $images.registry $base }}{{ end }}
{{- with get $images.digests .name }}
{{- printf "%s@%s" $base . }}
{{- else }}
{{- printf "%s:%s" $base (get $images.tags .name | default $images.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The part of a pod's spec that all pods of this chart share. */}}
{{- define "feedplane.pod" -}}
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "feedplane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Namespaces whose FeedSets are served, as JSON; empty: all of them. */}}
{{- define "feedplane.namespaces" -}}
{{- if has "*" .Values.watch.namespaces -}}
[]
{{- else -}}
{{ default (list .Release.Namespace) .Values.watch.namespaces | uniq | toJson }}
{{- end }}
{{- end }}

{{/* Stores of FeedSets that name none, as JSON: what is set, then the stand-ins. */}}
{{- define "feedplane.defaultSinks" -}}
{{- $sinks := deepCopy .Values.defaultSinks }}
{{- $secret := dict "name" (include "feedplane.storesSecret" .) "key" "password" }}
{{- if and .Values.redis.enabled (not $sinks.redis) }}
{{- $_ := set $sinks "redis" (dict "mode" .Values.redis.mode "endpoints" (include "feedplane.redisEndpoints" . | fromJsonArray) "passwordSecretRef" $secret) }}
{{- end }}
{{- if and .Values.clickhouseLite.enabled (not $sinks.clickhouse) }}
{{- $shards := list }}
{{- range $shard := until (int .Values.clickhouseLite.shards) }}
{{- $shards = append $shards (dict "endpoints" (list (include "feedplane.clickhouseEndpoint" (dict "root" $ "shard" $shard)))) }}
{{- end }}
{{- $_ := set $sinks "clickhouse" (dict "shards" $shards "passwordSecretRef" $secret) }}
{{- end }}
{{- toJson $sinks }}
{{- end }}

{{/* Endpoints of venues, as JSON: what is set, over those of the simulated venues. */}}
{{- define "feedplane.venueEndpoints" -}}
{{- $endpoints := dict }}
{{- if .Values.simex.enabled }}
{{- $host := printf "%s-simex.%s.svc:%d" (include "feedplane.fullname" .) .Release.Namespace (int .Values.simex.port) }}
{{- range $exchange, $own := .Files.Get "files/venue-endpoints.json" | replace "SIMEX" $host | fromJson }}
{{- if or (empty $.Values.simex.exchanges) (has $exchange $.Values.simex.exchanges) }}
{{- $_ := set $endpoints $exchange $own }}
{{- end }}
{{- end }}
{{- end }}
{{- mergeOverwrite $endpoints (deepCopy .Values.venues.endpoints) | toJson }}
{{- end }}

{{/* NetworkPolicyPeers of collectors: what is set, and the stand-ins of this release. */}}
{{- define "feedplane.egressPeers" -}}
{{- $peers := .Values.collectors.networkPolicy.egressPeers }}
{{- if or .Values.simex.enabled .Values.redis.enabled .Values.clickhouseLite.enabled }}
{{- $namespace := dict "matchLabels" (dict "kubernetes.io/metadata.name" .Release.Namespace) }}
{{- $pods := dict "matchExpressions" (list (dict "key" "app.kubernetes.io/component" "operator" "In" "values" (list "simex" "redis" "clickhouse-lite"))) "matchLabels" (dict "app.kubernetes.io/name" (include "feedplane.name" .) "app.kubernetes.io/instance" .Release.Name) }}
{{- $peers = append $peers (dict "namespaceSelector" $namespace "podSelector" $pods) }}
{{- end }}
{{- toJson $peers }}
{{- end }}

{{/* Secret with the password of the stand-in stores, key `password`. */}}
{{- define "feedplane.storesSecret" -}}
{{- default (printf "%s-stores" (include "feedplane.fullname" .)) .Values.standIns.existingSecret }}
{{- end }}

{{/* host:port of each Redis stand-in, as JSON. */}}
{{- define "feedplane.redisEndpoints" -}}
{{- $base := printf "%s-redis" (include "feedplane.fullname" .) }}
{{- $endpoints := list }}
{{- range $node := until (ternary (int .Values.redis.nodes) 1 (eq .Values.redis.mode "Cluster")) }}
{{- $endpoints = append $endpoints (printf "%s-%d.%s.%s.svc:6379" $base $node $base $.Release.Namespace) }}
{{- end }}
{{- toJson $endpoints }}
{{- end }}

{{/* host:port of one shard. */}}
{{- define "feedplane.clickhouseEndpoint" -}}
{{- $base := printf "%s-clickhouse-lite" (include "feedplane.fullname" .root) }}
{{- printf "%s-%d.%s.%s.svc:8123" $base (int .shard) $base .root.Release.Namespace }}
{{- end }}
