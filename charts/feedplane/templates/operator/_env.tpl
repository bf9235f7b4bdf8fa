{{/* What the operator is told. Lists and mappings are JSON; what is empty is left to its default. */}}
{{- define "feedplane.operatorEnv" -}}
{{- $said := dict }}
{{- $_ := set $said "METRICS_HOST" "0.0.0.0" }}
{{- $_ := set $said "METRICS_PORT" "8080" }}
{{- $_ := set $said "LOG_LEVEL" .Values.operator.logLevel }}
{{- $_ := set $said "OTLP_ENDPOINT" .Values.operator.otlpEndpoint }}
{{- $_ := set $said "WATCH_NAMESPACES" (.Values.watch.namespaces | toJson) }}
{{- $_ := set $said "IMAGE_REGISTRY" .Values.images.registry }}
{{- $_ := set $said "IMAGE_PREFIX" .Values.images.prefix }}
{{- $_ := set $said "IMAGE_TAG" (default .Chart.AppVersion .Values.images.tag) }}
{{- $_ := set $said "IMAGE_TAGS" (.Values.images.tags | toJson) }}
{{- $_ := set $said "IMAGE_DIGESTS" (.Values.images.digests | toJson) }}
{{- $_ := set $said "IMAGE_PULL_POLICY" .Values.images.pullPolicy }}
{{- $_ := set $said "IMAGE_PULL_SECRETS" (.Values.images.pullSecrets | toJson) }}
{{- $_ := set $said "MODE" (ternary "sim" "live" .Values.simex.enabled) }}
{{- $_ := set $said "ENDPOINTS" (include "feedplane.venueEndpoints" .) }}
{{- $_ := set $said "SWITCHES" (.Values.venues.switches | toJson) }}
{{- $_ := set $said "DEFAULT_SINKS" (include "feedplane.defaultSinks" .) }}
{{- $_ := set $said "NETWORK_POLICY" (toString .Values.collectors.networkPolicy.enabled) }}
{{- $_ := set $said "PRIVATE_RANGES" (.Values.collectors.networkPolicy.privateRanges | toJson) }}
{{- $_ := set $said "METRICS_PEERS" (.Values.collectors.networkPolicy.metricsPeers | toJson) }}
{{- $_ := set $said "EGRESS_PEERS" (include "feedplane.egressPeers" .) }}
{{- $_ := set $said "POD_LOG_LEVEL" .Values.collectors.logLevel }}
{{- $_ := set $said "POD_OTLP_ENDPOINT" .Values.collectors.otlpEndpoint }}
- name: FEEDPLANE_OPERATOR_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: FEEDPLANE_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- range $name, $value := $said }}
{{- if not (has $value (list "" "[]" "{}")) }}
- name: FEEDPLANE_OPERATOR_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.operator.extraEnv }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
