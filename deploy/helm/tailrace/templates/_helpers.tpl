{{- define "tailrace.name" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 40 | trimSuffix "-") .service -}}
{{- end -}}

{{- define "tailrace.selector" -}}
app.kubernetes.io/name: tailrace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end -}}

{{- define "tailrace.labels" -}}
app.kubernetes.io/name: tailrace
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tailrace.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (printf "%s-tailrace" .Release.Name) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "tailrace.config" -}}
TAILRACE_NAMESPACE: {{ .Values.namespace | quote }}
TAILRACE_HOST: "0.0.0.0"
TAILRACE_PORT: "8080"
TAILRACE_DRAIN_S: {{ .Values.drainSeconds | quote }}
TAILRACE_KAFKA: {{ required "kafka.brokers is required: host:port, several separated by commas" .Values.kafka.brokers | quote }}
TAILRACE_KAFKA_SECURITY_PROTOCOL: {{ .Values.kafka.securityProtocol | quote }}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol }}
TAILRACE_KAFKA_SASL_MECHANISM: {{ .Values.kafka.saslMechanism | quote }}
{{- end }}
{{- if .Values.kafka.ca }}
TAILRACE_KAFKA_CA_FILE: /run/tailrace/kafka-ca/ca.crt
{{- end }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* An authority's certificate, from a config map or a secret, always under the name ca.crt. */}}
{{- define "tailrace.ca" -}}
{{- if .configMap -}}
configMap:
  name: {{ .configMap }}
  items: [{key: {{ .key | default "ca.crt" | quote }}, path: ca.crt}]
{{- else -}}
secret:
  secretName: {{ .secret }}
  items: [{key: {{ .key | default "ca.crt" | quote }}, path: ca.crt}]
{{- end -}}
{{- end -}}

{{/* Who holds what is fixed: one process that held all would make every compromise total. */}}
{{- define "tailrace.separate" -}}
{{- $service := .service -}}
{{- range $name, $_ := .values.secrets -}}
{{- if and (contains "MASK_SECRET" $name) (ne $service "generator") -}}
{{- fail (printf "%s.secrets.%s: the mask secret is the generator's alone" $service $name) -}}
{{- end -}}
{{- if and (eq $name "TAILRACE_TRANSPORT_KEY") (eq $service "writer") -}}
{{- fail "writer.secrets.TAILRACE_TRANSPORT_KEY: the writer opens nothing that is raw" -}}
{{- end -}}
{{- end -}}
{{- end -}}
