{{/* The labels of a part; (dict "name" NAME "root" $) */}}
{{- define "clowder.labels" -}}
{{ include "clowder.selector" . }}
app.kubernetes.io/part-of: clowder
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* What selects the Pods of a part. */}}
{{- define "clowder.selector" -}}
app.kubernetes.io/name: {{ .name }}
{{- end }}

{{/* The image of a part: its own where it names one, else that of all; (dict "image" IMAGE "root" $) */}}
{{- define "clowder.image" -}}
{{- $all := .root.Values.image -}}
{{- printf "%s:%s" (.image.repository | default $all.repository) (.image.tag | default $all.tag) -}}
{{- end }}

{{/* The name of a resource of the whole cluster: two installations do not share one. */}}
{{- define "clowder.clusterName" -}}
{{- if eq .root.Release.Namespace "clowder" }}{{ .name }}{{ else }}{{ .name }}-{{ .root.Release.Namespace }}{{ end -}}
{{- end }}

{{/* The Secret with the tokens. */}}
{{- define "clowder.tokensSecret" -}}
{{- .Values.tokens.existingSecret | default "clowder-tokens" -}}
{{- end }}

{{/* The volume with these keys of the tokens; (dict "keys" LIST "root" $) */}}
{{- define "clowder.tokensVolume" -}}
- name: tokens
  secret:
    secretName: {{ include "clowder.tokensSecret" .root }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}

{{/* The environment of a part that reads from sources: its own goes before that of all; (dict "extraEnv" LIST "root" $) */}}
{{- define "clowder.sourcesEnv" -}}
{{- $own := list -}}
{{- range .extraEnv }}{{ $own = append $own .name }}{{ end -}}
{{- $env := list -}}
{{- range .root.Values.sourcesEnv }}{{ if not (has .name $own) }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- with concat $env .extraEnv }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "clowder.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "clowder.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Replicas on different nodes where there are several; (dict "name" NAME) */}}
{{- define "clowder.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "clowder.selector" . | nindent 6 }}
{{- end }}

{{/* A part's own tolerations, and how long it stays bound to a node that does not answer. */}}
{{- define "clowder.tolerations" -}}
{{- range list "not-ready" "unreachable" -}}
- key: node.kubernetes.io/{{ . }}
  operator: Exists
  effect: NoExecute
  tolerationSeconds: 30
{{ end -}}
{{- with . }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* The folder of a node that holds the models. */}}
{{- define "clowder.hostPath" -}}
{{- $path := .Values.storage.hostPath -}}
{{- $worker := .Values.workerPodTemplate.modelCachePath -}}
{{- if and $worker (ne $worker $path) -}}
{{- fail (printf "workerPodTemplate.modelCachePath is %s but storage.hostPath is %s: workers read what the storage manager wrote, so leave the former empty" $worker $path) -}}
{{- end -}}
{{- $path -}}
{{- end }}

{{- define "clowder.priorityClass" -}}
{{- if .root.Values.priorityClasses.create -}}
priorityClassName: {{ include "clowder.clusterName" . }}
{{- end -}}
{{- end }}
