{{- define "sidemint.name" -}}
{{- .Values.nameOverride | default "sidemint" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidemint.fullname" -}}
{{- $name := include "sidemint.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidemint.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "sidemint.fullname" .) "default") -}}
{{- end -}}

{{- define "sidemint.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sidemint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidemint.labels" -}}
{{ include "sidemint.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sidemint.image" -}}
{{- $image := .Values.image -}}
{{- if not $image.repository -}}
{{- fail "image.repository must be given: no image is published yet, so build one and name the registry you pushed it to" -}}
{{- end -}}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/*
The ConfigMap with the file of the team `name`: the team's own, or one that the chart makes.
*/}}
{{- define "sidemint.teamConfigMap" -}}
{{- (get .root.Values.teams .name).configMap | default (printf "%s-team-%s" (include "sidemint.fullname" .root) .name) -}}
{{- end -}}
