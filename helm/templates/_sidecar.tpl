{{/*
For other charts. Each takes the including chart's own context; a dependency with an alias is named in full:
include "sidemint.sidecar.container" .Subcharts.ALIAS

  metadata.annotations:  include "sidemint.sidecar.annotations" .   rolls the pods when the configuration changes
  spec.initContainers:   include "sidemint.sidecar.container" .     a native sidecar: starts first, stops last
  spec.volumes:          include "sidemint.sidecar.volumes" .
*/}}
{{- define "sidemint.sidecar.container" -}}
{{- $own := get .Subcharts "sidemint" | default . -}}
{{- if ne $own.Values.mode "sidecar" -}}
{{- fail "set `mode: sidecar` for the sidemint dependency: in the shared form it is a Deployment of its own" -}}
{{- end -}}
- name: sidemint
  restartPolicy: Always
  {{- include "sidemint.container" $own | nindent 2 }}
{{- end -}}

{{- define "sidemint.sidecar.volumes" -}}
{{- include "sidemint.volumes" (get .Subcharts "sidemint" | default .) -}}
{{- end -}}

{{- define "sidemint.sidecar.annotations" -}}
checksum/sidemint-config: {{ include "sidemint.configChecksum" (get .Subcharts "sidemint" | default .) }}
{{- end -}}
