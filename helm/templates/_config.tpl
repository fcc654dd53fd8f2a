{{/*
The configuration that is served: the operator's, and what the chart decides. All complaints come at once.
*/}}
{{- define "sidemint.config" -}}
{{- $shared := eq .Values.mode "shared" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := deepCopy ($config.server | default dict) -}}
{{- $identity := deepCopy ($config.identity | default dict) -}}
{{- $peers := deepCopy ($identity.peers | default dict) -}}
{{- $wrong := list -}}

{{- range $key, $instead := dict "listen" "port and bindAddress" "drain_delay" "drain.delaySeconds" "drain_timeout" "drain.timeoutSeconds" -}}
  {{- if hasKey $server $key -}}
    {{- $wrong = append $wrong (printf "config.server.%s is set by the chart: use %s" $key $instead) -}}
  {{- end -}}
{{- end -}}
{{- if dig "ops" "listen" "" $config -}}
  {{- $wrong = append $wrong "config.ops.listen is set by the chart: use ops.port and ops.expose" -}}
{{- end -}}

{{- if not $identity.source -}}
  {{- $wrong = append $wrong "config.identity.source must be given: who tells the user (plain, oauth2-proxy, authelia, or a source of yours)" -}}
{{- end -}}
{{- if and $shared (not $peers.networks) -}}
  {{- $wrong = append $wrong "config.identity.peers.networks must be given in the shared form: the networks your proxies connect from, since whoever connects from there may say who the user is" -}}
{{- end -}}
{{- range $peers.networks -}}
  {{- if and (regexMatch "/[01]$" .) (not $peers.insecure_trust_every_peer) -}}
    {{- $wrong = append $wrong (printf "config.identity.peers.networks holds %s, which believes everybody: name the networks of your proxies" .) -}}
  {{- end -}}
{{- end -}}
{{- range $key := list "routes" "providers" -}}
  {{- if not (get $config $key) -}}
    {{- $wrong = append $wrong (printf "config.%s must be given: nothing is served without it" $key) -}}
  {{- end -}}
{{- end -}}
{{- range $provider, $settings := $config.providers -}}
  {{- $ownKey := not (or $settings.key_file $settings.key_dir $.Values.env.SIDEMINT_SIGNING_KEY_FILE) -}}
  {{- if and $shared (eq (toString $settings.preset) "local") $ownKey (gt (int $.Values.replicas) 1) -}}
    {{- $wrong = append $wrong (printf "config.providers.%s has no key_file, so every replica would sign with a key of its own, unknown to the others: give key_file, or replicas: 1" $provider) -}}
  {{- end -}}
  {{- range $key, $path := $settings -}}
    {{- if and (kindIs "string" $path) (hasPrefix "/run/secrets/sidemint/" $path) -}}
      {{- $name := $path | trimPrefix "/run/secrets/sidemint/" | splitList "/" | first -}}
      {{- if not (hasKey $.Values.secrets $name) -}}
        {{- $wrong = append $wrong (printf "config.providers.%s.%s is %s, but secrets.%s is not given" $provider $key $path $name) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.env -}}
  {{- if has $name (list "SIDEMINT_CONFIG" "SIDEMINT_DEFINITIONS" "SIDEMINT_OPS__LISTEN" "SIDEMINT_SERVER__LISTEN") -}}
    {{- $wrong = append $wrong (printf "env.%s is set by the chart" $name) -}}
  {{- end -}}
  {{- if regexMatch "(KEY|SECRET|TOKEN|PASSWORD)$" $name -}}
    {{- $wrong = append $wrong (printf "env.%s looks like a secret: name its Secret under secrets, and give the path of the file" $name) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.ops.expose) -}}
  {{- $wrong = append $wrong "podMonitor.enabled needs ops.expose: true, or there is nothing to scrape" -}}
{{- end -}}
{{- if $wrong -}}
  {{- fail (printf "\n- %s" (join "\n- " $wrong)) -}}
{{- end -}}

{{- $address := $shared | ternary .Values.bindAddress "127.0.0.1" -}}
{{- $delay := $shared | ternary (int .Values.drain.delaySeconds) 0 -}}
{{- $_ := set $server "listen" (printf "%s:%d" $address (int .Values.port)) -}}
{{- $_ := set $server "drain_delay" (printf "%ds" $delay) -}}
{{- $_ := set $server "drain_timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- if not (or $shared (hasKey $peers "networks")) -}}
  {{- $_ := set $peers "networks" (list "127.0.0.0/8" "::1/128") -}}
{{- end -}}
{{- $_ := set $identity "peers" $peers -}}
{{- $_ := set $config "identity" $identity -}}
{{- $_ := set $config "server" $server -}}
{{- $config | toJson -}}
{{- end -}}

{{- define "sidemint.configToml" -}}
{{- include "sidemint.toml.table" (dict "table" (include "sidemint.config" . | fromJson) "path" "") | trim -}}
{{- end -}}

{{- define "sidemint.configChecksum" -}}
{{- printf "%s%s" (include "sidemint.configToml" .) (.Values.definitions | empty | ternary "" (toJson .Values.definitions)) | sha256sum -}}
{{- end -}}

{{/*
TOML by hand, because toToml writes every number as a float (64 becomes 64.0), which an integer key refuses.
A table writes its plain keys first, as TOML demands, then its sub-tables and lists of tables.
*/}}
{{- define "sidemint.toml.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
  {{- if not (or (kindIs "invalid" $value) (include "sidemint.toml.isTable" $value) (include "sidemint.toml.isTables" $value)) }}
{{ include "sidemint.toml.key" $key }} = {{ include "sidemint.toml.value" $value }}
  {{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
  {{- $below := include "sidemint.toml.key" $key -}}
  {{- if $path }}{{ $below = printf "%s.%s" $path $below }}{{ end -}}
  {{- if include "sidemint.toml.isTable" $value }}

[{{ $below }}]
    {{- include "sidemint.toml.table" (dict "table" $value "path" $below) -}}
  {{- else if include "sidemint.toml.isTables" $value -}}
    {{- range $value }}

[[{{ $below }}]]
      {{- include "sidemint.toml.table" (dict "table" . "path" $below) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "sidemint.toml.isTable" -}}
{{- if kindIs "map" . }}yes{{ end -}}
{{- end -}}

{{- define "sidemint.toml.isTables" -}}
{{- if and (kindIs "slice" .) . -}}
  {{- $all := "yes" -}}
  {{- range . }}{{ if not (kindIs "map" .) }}{{ $all = "" }}{{ end }}{{ end -}}
  {{- $all -}}
{{- end -}}
{{- end -}}

{{- define "sidemint.toml.key" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toRawJson .) -}}
{{- end -}}

{{- define "sidemint.toml.value" -}}
{{- if kindIs "map" . -}}
  {{- $members := list -}}
  {{- range $key, $value := . -}}
    {{- $members = append $members (printf "%s = %s" (include "sidemint.toml.key" $key) (include "sidemint.toml.value" $value)) -}}
  {{- end -}}
  {{- printf "{ %s }" (join ", " $members) -}}
{{- else if kindIs "slice" . -}}
  {{- $items := list -}}
  {{- range . }}{{ $items = append $items (include "sidemint.toml.value" .) }}{{ end -}}
  {{- printf "[%s]" (join ", " $items) -}}
{{- else -}}
  {{- /* JSON's strings and numbers are TOML's too. */ -}}
  {{- toRawJson . -}}
{{- end -}}
{{- end -}}
