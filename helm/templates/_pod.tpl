{{/*
The pod, the same in a Deployment and in a StatefulSet.
*/}}
{{- define "sidemint.pod" -}}
metadata:
  annotations:
    # The configuration is read at start only. Secrets are not in it: they are swapped without a restart.
    checksum/config: {{ include "sidemint.configChecksum" . }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "sidemint.labels" . | nindent 4 }}
spec:
  serviceAccountName: {{ include "sidemint.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Drain, and some time to come to an end.
  terminationGracePeriodSeconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 10 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    {{- if and .Values.webhooks.enabled .Values.runAsUser }}
    # The volume of the queue is this group's.
    fsGroup: {{ .Values.runAsUser | int64 }}
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: sidemint
      {{- include "sidemint.container" . | nindent 6 }}
  volumes:
    {{- include "sidemint.volumes" . | nindent 4 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "sidemint.selectorLabels" . | nindent 10 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
