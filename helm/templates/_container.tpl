{{/*
The container, the same in both forms; the caller adds name and restartPolicy.
*/}}
{{- define "sidemint.container" -}}
image: {{ include "sidemint.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: SIDEMINT_CONFIG
    value: /etc/sidemint/config.toml
  {{- if .Values.definitions }}
  - name: SIDEMINT_DEFINITIONS
    value: /etc/sidemint/definitions
  {{- end }}
  # Not in the file, because the probes read it too: see there.
  - name: SIDEMINT_OPS__LISTEN
    value: {{ printf "%s:%d" (.Values.ops.expose | ternary .Values.bindAddress "127.0.0.1") (int .Values.ops.port) | quote }}
  {{- range $name, $value := .Values.env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- with include "sidemint.ports" . | trim }}
ports:
  {{- . | nindent 2 }}
{{- end }}
# Probes run inside the container, so that the ops listener can stay on loopback. They read no file: an upgrade
# changes the mounted file under pods that still run with the old one, and a mistake in it must not end those.
startupProbe:
  exec:
    command: [/usr/local/bin/sidemint, healthcheck, --live, --config, /dev/null]
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  exec:
    command: [/usr/local/bin/sidemint, healthcheck, --live, --config, /dev/null]
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
{{- if or (eq .Values.mode "shared") .Values.sidecar.readinessGatesPod }}
readinessProbe:
  exec:
    command: [/usr/local/bin/sidemint, healthcheck, --config, /dev/null]
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ . | int64 }}
  runAsGroup: {{ . | int64 }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
  {{- if and .Values.webhooks.enabled (not (dig "queue" "redis" "" .Values.config)) }}
  - name: sidemint-queue
    mountPath: /var/lib/sidemint
  {{- end }}
  - name: sidemint-config
    mountPath: /etc/sidemint
    readOnly: true
  {{- if .Values.teams }}
  - name: sidemint-teams
    mountPath: /etc/sidemint-teams
    readOnly: true
  {{- end }}
  {{- range $name, $_ := include "sidemint.secrets" . | fromJson }}
  - name: sidemint-secret-{{ $name }}
    mountPath: /run/secrets/sidemint/{{ $name }}
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "sidemint.ports" -}}
{{- if eq .Values.mode "shared" -}}
- name: http
  containerPort: {{ .Values.port }}
{{ if .Values.grpc.enabled -}}
- name: grpc
  containerPort: {{ .Values.grpc.port }}
{{ end -}}
{{ end -}}
{{- if .Values.webhooks.enabled -}}
- name: sidemint-hooks
  containerPort: {{ .Values.webhooks.port }}
{{ end -}}
{{- if .Values.gateway.expose -}}
- name: sidemint-calls
  containerPort: {{ .Values.gateway.port }}
{{ range $_, $port := .Values.gateway.mounts -}}
- containerPort: {{ $port }}
{{ end -}}
{{ end -}}
{{- if .Values.ops.expose -}}
- name: sidemint-ops
  containerPort: {{ .Values.ops.port }}
{{- end -}}
{{- end -}}

{{- define "sidemint.volumes" -}}
{{- if and .Values.webhooks.enabled (not .Values.webhooks.queue.persistent) (not (dig "queue" "redis" "" .Values.config)) -}}
- name: sidemint-queue
  emptyDir:
    sizeLimit: {{ .Values.webhooks.queue.sizeMi | int64 }}Mi
{{ end -}}
- name: sidemint-config
  configMap:
    name: {{ include "sidemint.fullname" . }}
    {{- if .Values.definitions }}
    items:
      - key: config.toml
        path: config.toml
      {{- range $name, $_ := .Values.definitions }}
      - key: definition.{{ $name }}.toml
        path: definitions/{{ $name }}.toml
      {{- end }}
    {{- end }}
{{- if .Values.teams }}
- name: sidemint-teams
  projected:
    sources:
      {{- range $name, $team := .Values.teams }}
      - configMap:
          name: {{ include "sidemint.teamConfigMap" (dict "root" $ "name" $name) }}
          # A team whose ConfigMap is missing keeps no pod from its start: its hosts answer 503.
          optional: true
          items:
            - key: {{ $name }}.toml
              path: {{ $name }}.toml
      {{- end }}
{{- end }}
{{- range $name, $secret := include "sidemint.secrets" . | fromJson }}
- name: sidemint-secret-{{ $name }}
  secret:
    secretName: {{ $secret.secretName }}
    # Readable by the container's user without fsGroup, which in the sidecar form belongs to the pod's owner.
    # Only this container mounts it.
    defaultMode: 0444
    {{- with $secret.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}
