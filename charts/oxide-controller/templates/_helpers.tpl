{{- define "oxide.selector" -}}
app.kubernetes.io/name: oxide-controller
{{- end }}

{{- define "oxide.labels" -}}
{{ include "oxide.selector" . }}
app.kubernetes.io/part-of: clowder
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
