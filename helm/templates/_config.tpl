{{/*
The configuration that is served: the operator's, and what the chart decides. All complaints come at once.
*/}}
{{- define "sidemint.config" -}}
{{- $shared := eq .Values.mode "shared" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := deepCopy ($config.server | default dict) -}}
{{- $identity := deepCopy ($config.identity | default dict) -}}
{{- $peers := deepCopy ($identity.peers | default dict) -}}
{{- $secrets := include "sidemint.secrets" . | fromJson -}}
{{- $wrong := list -}}

{{- range $key, $instead := dict "listen" "port and bindAddress" "drain_delay" "drain.delaySeconds" "drain_timeout" "drain.timeoutSeconds" -}}
  {{- if hasKey $server $key -}}
    {{- $wrong = append $wrong (printf "config.server.%s is set by the chart: use %s" $key $instead) -}}
  {{- end -}}
{{- end -}}
{{- if dig "ops" "listen" "" $config -}}
  {{- $wrong = append $wrong "config.ops.listen is set by the chart: use ops.port and ops.expose" -}}
{{- end -}}
{{- if dig "grpc" "listen" "" $config -}}
  {{- $wrong = append $wrong "config.grpc.listen is set by the chart: use grpc.enabled and grpc.port" -}}
{{- else if and $config.grpc (not .Values.grpc.enabled) -}}
  {{- $wrong = append $wrong "config.grpc needs grpc.enabled: true, or there is no listener" -}}
{{- end -}}

{{- if dig "webhook_server" "listen" "" $config -}}
  {{- $wrong = append $wrong "config.webhook_server.listen is set by the chart: use webhooks.port" -}}
{{- end -}}
{{- if dig "queue" "dir" "" $config -}}
  {{- $wrong = append $wrong "config.queue.dir is set by the chart: use webhooks.queue" -}}
{{- end -}}
{{- if and $config.webhooks (not .Values.webhooks.enabled) -}}
  {{- $wrong = append $wrong "config.webhooks needs webhooks.enabled: true, or there is no listener and no queue" -}}
{{- else if and .Values.webhooks.enabled (not $config.webhooks) -}}
  {{- $wrong = append $wrong "webhooks.enabled needs config.webhooks: which webhooks there are" -}}
{{- end -}}
{{- if and .Values.webhooks.queue.persistent (not .Values.webhooks.enabled) -}}
  {{- $wrong = append $wrong "webhooks.queue.persistent needs webhooks.enabled: true" -}}
{{- end -}}
{{- if and .Values.webhooks.queue.persistent (not $shared) -}}
  {{- $wrong = append $wrong "webhooks.queue.persistent is for the shared form: in the sidecar form the pod is yours, so give it the volume sidemint-queue, or give each webhook a fallback" -}}
{{- end -}}
{{- $mostBytes := dig "queue" "max_bytes" 268435456 $config | int64 -}}
{{- $onServer := dig "queue" "redis" "" $config -}}
{{- if and .Values.webhooks.queue.persistent $onServer -}}
  {{- $wrong = append $wrong "webhooks.queue.persistent makes volumes for a queue in files, and config.queue.redis names a server: remove one of them" -}}
{{- end -}}
{{- if and .Values.webhooks.enabled (not $onServer) (gt (mul $mostBytes 4) (mul .Values.webhooks.queue.sizeMi 1048576)) -}}
  {{- $wrong = append $wrong (printf "config.queue.max_bytes is %d, more than a quarter of webhooks.queue.sizeMi: the files of the queue grow beyond its content" $mostBytes) -}}
{{- end -}}
{{- $gateway := deepCopy ($config.gateway | default dict) -}}
{{- if hasKey $gateway "listen" -}}
  {{- $wrong = append $wrong "config.gateway.listen is set by the chart: use gateway.port and gateway.expose" -}}
{{- end -}}
{{- $mounted := list -}}
{{- range $gateway.mounts -}}
  {{- $mounted = append $mounted (toString .provider) -}}
  {{- if hasKey . "listen" -}}
    {{- $wrong = append $wrong (printf "the mount %s has listen, which is set by the chart: use gateway.mounts.%s" .provider .provider) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.gateway.mounts -}}
  {{- if not (has $name $mounted) -}}
    {{- $wrong = append $wrong (printf "gateway.mounts.%s has no mount: config.gateway.mounts must have one with provider: %s" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- if and $config.gateway (not .Values.gateway.enabled) -}}
  {{- $wrong = append $wrong "config.gateway needs gateway.enabled: true, or there is no listener" -}}
{{- else if and .Values.gateway.enabled (not $config.gateway) -}}
  {{- $wrong = append $wrong "gateway.enabled needs config.gateway: mounts, callers and grants" -}}
{{- end -}}
{{- if and .Values.gateway.expose (not .Values.gateway.enabled) -}}
  {{- $wrong = append $wrong "gateway.expose needs gateway.enabled: true" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (ne $shared .Values.gateway.expose) -}}
  {{- $wrong = append $wrong ($shared | ternary "gateway.enabled needs gateway.expose: true in the shared form: nothing else is in its pod that could call" "gateway.expose is for the shared form: a sidecar is called from its own pod") -}}
{{- end -}}
{{- range $key, $instead := dict "teams" "grants" "teams_dir" "teams" -}}
  {{- if hasKey $config $key -}}
    {{- $wrong = append $wrong (printf "config.%s is set by the chart: use %s" $key $instead) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.grants -}}
  {{- if not (hasKey $.Values.teams $name) -}}
    {{- $wrong = append $wrong (printf "grants.%s has no file: teams.%s must say where it is" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $team := .Values.teams -}}
  {{- if not (hasKey $.Values.grants $name) -}}
    {{- $wrong = append $wrong (printf "teams.%s has no grant: grants.%s must say which hosts are the team's" $name $name) -}}
  {{- end -}}
  {{- if eq (empty $team.file) (empty $team.configMap) -}}
    {{- $wrong = append $wrong (printf "teams.%s must have one of file and configMap" $name) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.grants .Values.grpc.enabled -}}
  {{- $wrong = append $wrong "grants and grpc.enabled cannot stand together: gRPC serves the platform's routes alone" -}}
{{- end -}}
{{- if and .Values.grants .Values.shared.urls -}}
  {{- $wrong = append $wrong "grants and shared.urls cannot stand together: the tier serves the platform's routes alone" -}}
{{- end -}}
{{- $serves := or $config.routes (not (or $config.webhooks $config.gateway .Values.grants)) -}}
{{- $calls := or $serves $config.webhooks $config.gateway -}}

{{- if and $serves (not $identity.source) -}}
  {{- $wrong = append $wrong "config.identity.source must be given: who tells the user (plain, oauth2-proxy, authelia, or a source of yours)" -}}
{{- end -}}
{{- if and $serves $shared (not $peers.networks) (not (include "sidemint.proofs" .)) -}}
  {{- $wrong = append $wrong "config.identity.peers.networks must be given in the shared form: the networks your proxies connect from, since a peer that connects from there may say who the user is; or another proof: peers.secret, peers.hmac, or config.identity.peers.certificates with tls.clientCa" -}}
{{- end -}}
{{- range $peers.networks -}}
  {{- if and (regexMatch "/[01]$" .) (not $peers.insecure_trust_every_peer) -}}
    {{- $wrong = append $wrong (printf "config.identity.peers.networks holds %s, which trusts every peer: name the networks of your proxies" .) -}}
  {{- end -}}
{{- end -}}
{{- range $key := list "routes" "providers" -}}
  {{- if and (not (get $config $key)) (eq $key "routes" | ternary $serves $calls) -}}
    {{- $wrong = append $wrong (printf "config.%s must be given: nothing is served without it" $key) -}}
  {{- end -}}
{{- end -}}
{{- range $provider, $settings := $config.providers -}}
  {{- $ownKey := not (or $settings.key_file $settings.key_dir $.Values.env.SIDEMINT_SIGNING_KEY_FILE) -}}
  {{- if and $shared (eq (toString $settings.preset) "local") $ownKey (gt (int $.Values.replicas) 1) -}}
    {{- $wrong = append $wrong (printf "config.providers.%s has no key_file, so every replica would sign with a key of its own, unknown to the others: give key_file, or replicas: 1" $provider) -}}
  {{- end -}}
{{- end -}}
{{- range $path := list "config" "grants" -}}
  {{- $named := dict "value" (get $.Values $path) "path" $path "secrets" $secrets -}}
  {{- $wrong = concat $wrong (include "sidemint.unmounted" $named | fromJsonArray) -}}
{{- end -}}
{{- range $name, $value := include "sidemint.ownSecrets" . | fromJson -}}
  {{- if and $value.secretName (hasKey $.Values.secrets $name) -}}
    {{- $wrong = append $wrong (printf "secrets.%s has the name of a folder that the chart mounts itself: call yours otherwise" $name) -}}
  {{- end -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
  {{- if not $shared -}}
    {{- $wrong = append $wrong "tls is for the shared form: a sidecar listens on loopback only, where nothing is to be encrypted" -}}
  {{- end -}}
  {{- if $server.tls -}}
    {{- $wrong = append $wrong "config.server.tls and tls.secretName both say what TLS goes by: use one of them" -}}
  {{- end -}}
{{- else if .Values.tls.clientCa -}}
  {{- $wrong = append $wrong "tls.clientCa is a key of the Secret in tls.secretName, which is not given" -}}
{{- end -}}
{{- range $name, $key := dict "secret" "secret_files" "hmac" "hmac_key_files" -}}
  {{- $value := get $.Values.peers $name -}}
  {{- if and $value.secretName (not $value.keys) -}}
    {{- $wrong = append $wrong (printf "peers.%s.keys must be given: the keys of the Secret %s that are valid" $name $value.secretName) -}}
  {{- else if and $value.keys (not $value.secretName) -}}
    {{- $wrong = append $wrong (printf "peers.%s.secretName must be given: the Secret that holds %s" $name (join " and " $value.keys)) -}}
  {{- else if and $value.secretName (hasKey $peers $key) -}}
    {{- $wrong = append $wrong (printf "config.identity.peers.%s and peers.%s both say what proves a peer: use one of them" $key $name) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.env -}}
  {{- if has $name (list "SIDEMINT_CONFIG" "SIDEMINT_DEFINITIONS" "SIDEMINT_OPS__LISTEN" "SIDEMINT_SERVER__LISTEN" "SIDEMINT_GRPC__LISTEN" "SIDEMINT_WEBHOOK_SERVER__LISTEN" "SIDEMINT_QUEUE__DIR" "SIDEMINT_GATEWAY__LISTEN" "SIDEMINT_TEAMS_DIR") -}}
    {{- $wrong = append $wrong (printf "env.%s is set by the chart" $name) -}}
  {{- end -}}
  {{- if regexMatch "(KEY|SECRET|TOKEN|PASSWORD)$" $name -}}
    {{- $wrong = append $wrong (printf "env.%s looks like a secret: name its Secret under secrets, and give the path of the file" $name) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.ops.expose) -}}
  {{- $wrong = append $wrong "podMonitor.enabled needs ops.expose: true, or there is nothing to scrape" -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (not .Values.ops.expose) -}}
  {{- $wrong = append $wrong "prometheusRule.enabled needs ops.expose: true, or there is nothing to scrape and SidemintAbsent fires" -}}
{{- end -}}
{{- $cache := deepCopy ($config.cache | default dict) -}}
{{- $tier := deepCopy ($cache.shared | default dict) -}}
{{- with .Values.shared -}}
  {{- range $key, $instead := dict "urls" "shared.urls" "mode" "shared.mode" "service" "shared.service" "fleet" "shared.fleet" "names_file" "shared.keys" "key_dir" "shared.keys" -}}
    {{- if hasKey $tier $key -}}
      {{- $wrong = append $wrong (printf "config.cache.shared.%s is set by the chart: use %s" $key $instead) -}}
    {{- end -}}
  {{- end -}}
  {{- if and .urls (not .keys.secretName) -}}
    {{- $wrong = append $wrong "shared.keys.secretName must be given: the Secret with names and keys of `sidemint keygen --shared`" -}}
  {{- end -}}
  {{- if and $tier (not .urls) -}}
    {{- $wrong = append $wrong "config.cache.shared needs shared.urls: where the tier is" -}}
  {{- end -}}
  {{- range $name, $file := omit .access "secretName" -}}
    {{- if and $file (not $.Values.shared.access.secretName) -}}
      {{- $wrong = append $wrong (printf "shared.access.%s is a key of the Secret in shared.access.secretName, which is not given" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if $wrong -}}
  {{- fail (printf "\n- %s" (join "\n- " $wrong)) -}}
{{- end -}}

{{- $address := $shared | ternary .Values.bindAddress "127.0.0.1" -}}
{{- $delay := $shared | ternary (int .Values.drain.delaySeconds) 0 -}}
{{- $_ := set $server "listen" (printf "%s:%d" $address (int .Values.port)) -}}
{{- $_ := set $server "drain_delay" (printf "%ds" $delay) -}}
{{- $_ := set $server "drain_timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- if and $serves (not (or $shared (hasKey $peers "networks"))) -}}
  {{- $_ := set $peers "networks" (list "127.0.0.0/8" "::1/128") -}}
{{- end -}}
{{- range $name, $key := dict "secret" "secret_files" "hmac" "hmac_key_files" -}}
  {{- $files := list -}}
  {{- range (get $.Values.peers $name).keys -}}
    {{- $files = append $files (printf "/run/secrets/sidemint/peer-%s/%s" $name .) -}}
  {{- end -}}
  {{- if $files }}{{ $_ := set $peers $key $files }}{{ end -}}
{{- end -}}
{{- with .Values.tls -}}
  {{- if .secretName -}}
    {{- $tls := dict "cert_file" "/run/secrets/sidemint/tls/tls.crt" "key_file" "/run/secrets/sidemint/tls/tls.key" -}}
    {{- if .clientCa -}}
      {{- $_ := set $tls "client_ca_file" (printf "/run/secrets/sidemint/tls/%s" .clientCa) -}}
      {{- $_ := set $tls "client_certificates" .clientCertificates -}}
    {{- end -}}
    {{- $_ := set $server "tls" $tls -}}
  {{- end -}}
{{- end -}}
{{- if $peers }}{{ $_ := set $identity "peers" $peers }}{{ end -}}
{{- if $identity }}{{ $_ := set $config "identity" $identity }}{{ end -}}
{{- $_ := set $config "server" $server -}}
{{- if .Values.grpc.enabled -}}
  {{- $grpc := dict "listen" (printf "%s:%d" $address (int .Values.grpc.port)) -}}
  {{- $_ := set $config "grpc" (merge $grpc ($config.grpc | default dict)) -}}
{{- end -}}
{{- if .Values.webhooks.enabled -}}
  {{- $listener := dict "listen" (printf "%s:%d" .Values.bindAddress (int .Values.webhooks.port)) -}}
  {{- $_ := set $config "webhook_server" (merge $listener ($config.webhook_server | default dict)) -}}
  {{- /* A folder below the volume: it is made with the rights that sidemint wants. */ -}}
  {{- if not $onServer -}}
  {{- $_ := set $config "queue" (merge (dict "dir" "/var/lib/sidemint/queue") ($config.queue | default dict)) -}}
  {{- end -}}
{{- end -}}
{{- if .Values.shared.urls -}}
  {{- with .Values.shared -}}
    {{- $fleet := .fleet | default (printf "%s-%s" $.Release.Namespace (include "sidemint.fullname" $)) -}}
    {{- $own := dict "mode" .mode "urls" .urls "fleet" $fleet "names_file" "/run/secrets/sidemint/shared-keys/names" "key_dir" "/run/secrets/sidemint/shared-keys" -}}
    {{- if .service }}{{ $_ := set $own "service" .service }}{{ end -}}
    {{- if .username }}{{ $_ := set $own "username" .username }}{{ end -}}
    {{- range $name, $key := dict "password" "password_file" "sentinelPassword" "sentinel_password_file" "ca" "ca_file" "clientCert" "client_cert_file" "clientKey" "client_key_file" -}}
      {{- with get $.Values.shared.access $name }}{{ $_ := set $own $key (printf "/run/secrets/sidemint/shared-access/%s" .) }}{{ end -}}
    {{- end -}}
    {{- if $shared }}{{ $_ := set $own "expect_replicas" (int $.Values.replicas) }}{{ end -}}
    {{- $_ := set $cache "shared" (merge $tier $own) -}}
  {{- end -}}
  {{- $_ := set $config "cache" $cache -}}
{{- end -}}
{{- with .Values.grants -}}
  {{- $_ := set $config "teams_dir" "/etc/sidemint-teams" -}}
  {{- $_ := set $config "teams" . -}}
{{- end -}}
{{- if .Values.gateway.enabled -}}
  {{- $_ := set $gateway "listen" (printf "%s:%d" $address (int .Values.gateway.port)) -}}
  {{- $mounts := list -}}
  {{- range $gateway.mounts -}}
    {{- $port := get $.Values.gateway.mounts (toString .provider) -}}
    {{- $mounts = append $mounts ($port | empty | ternary . (set (deepCopy .) "listen" (printf "%s:%d" $address (int $port)))) -}}
  {{- end -}}
  {{- $_ := set $gateway "mounts" $mounts -}}
  {{- if and $shared (not (hasKey $gateway "hosts")) -}}
    {{- $host := printf "%s.%s" (include "sidemint.fullname" .) .Release.Namespace -}}
    {{- $_ := set $gateway "hosts" (list (include "sidemint.fullname" .) $host (printf "%s.svc" $host) (printf "%s.svc.cluster.local" $host)) -}}
  {{- end -}}
  {{- $_ := set $config "gateway" $gateway -}}
{{- end -}}
{{- $config | toJson -}}
{{- end -}}

{{/*
The Secrets of `tls`, `peers` and `shared`, by the name of the folder where they are mounted.
*/}}
{{- define "sidemint.ownSecrets" -}}
{{- $own := dict "tls" .Values.tls "peer-secret" .Values.peers.secret "peer-hmac" .Values.peers.hmac -}}
{{- if .Values.shared.urls -}}
  {{- $_ := set $own "shared-keys" .Values.shared.keys -}}
  {{- $_ := set $own "shared-access" .Values.shared.access -}}
{{- end -}}
{{- toJson $own -}}
{{- end -}}

{{/*
Every Secret that is mounted, by the name of its folder: the operator's, and those that the chart mounts itself.
*/}}
{{- define "sidemint.secrets" -}}
{{- $secrets := deepCopy .Values.secrets -}}
{{- range $name, $value := include "sidemint.ownSecrets" . | fromJson -}}
  {{- with $value.secretName }}{{ $_ := set $secrets $name (dict "secretName" .) }}{{ end -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/*
What the configuration names below our folder of secrets although nothing is mounted there, as sentences.
*/}}
{{- define "sidemint.unmounted" -}}
{{- $wrong := list -}}
{{- $secrets := .secrets -}}
{{- $below := dict -}}
{{- if kindIs "map" .value -}}
  {{- range $key, $value := .value }}{{ $_ := set $below (printf "%s.%s" $.path $key) $value }}{{ end -}}
{{- else if kindIs "slice" .value -}}
  {{- range $n, $value := .value }}{{ $_ := set $below (printf "%s[%d]" $.path $n) $value }}{{ end -}}
{{- else if and (kindIs "string" .value) (hasPrefix "/run/secrets/sidemint/" .value) -}}
  {{- $name := .value | trimPrefix "/run/secrets/sidemint/" | splitList "/" | first -}}
  {{- if not (hasKey $secrets $name) -}}
    {{- $wrong = append $wrong (printf "%s is %s, but secrets.%s is not given" .path .value $name) -}}
  {{- end -}}
{{- end -}}
{{- range $path, $value := $below -}}
  {{- $wrong = concat $wrong (include "sidemint.unmounted" (dict "value" $value "path" $path "secrets" $secrets) | fromJsonArray) -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/*
Not empty where a peer must prove itself by more than where it is.
*/}}
{{- define "sidemint.proofs" -}}
{{- $identity := .Values.config.identity | default dict -}}
{{- $peers := $identity.peers | default dict -}}
{{- $all := list $peers.certificates $peers.secret_files $peers.hmac_key_files $identity.callers .Values.peers.secret.secretName .Values.peers.hmac.secretName -}}
{{- if compact $all }}yes{{ end -}}
{{- end -}}

{{/*
"https" where the front listener speaks TLS, else "http".
*/}}
{{- define "sidemint.scheme" -}}
{{- or .Values.tls.secretName (dig "server" "tls" "cert_file" "" .Values.config) | empty | ternary "http" "https" -}}
{{- end -}}

{{/*
The same for the listeners of the gateway.
*/}}
{{- define "sidemint.gatewayScheme" -}}
{{- dig "gateway" "tls" "cert_file" "" .Values.config | empty | ternary "http" "https" -}}
{{- end -}}

{{/*
One line for each section: values inside are written inline, as in JSON. toToml is no help, because it writes every number
as a float (64 becomes 64.0), which an integer key refuses.
*/}}
{{- define "sidemint.configToml" -}}
{{- $lines := list -}}
{{- range $key, $value := include "sidemint.config" . | fromJson -}}
  {{- if not (kindIs "invalid" $value) -}}
    {{- $lines = append $lines (printf "%s = %s" (include "sidemint.toml.key" $key) (include "sidemint.toml.value" $value)) -}}
  {{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{- define "sidemint.configChecksum" -}}
{{- printf "%s%s" (include "sidemint.configToml" .) (.Values.definitions | empty | ternary "" (toJson .Values.definitions)) | sha256sum -}}
{{- end -}}

{{- define "sidemint.toml.key" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toRawJson .) -}}
{{- end -}}

{{- define "sidemint.toml.value" -}}
{{- if kindIs "map" . -}}
  {{- $members := list -}}
  {{- range $key, $value := . -}}
    {{- if not (kindIs "invalid" $value) -}}
      {{- $members = append $members (printf "%s = %s" (include "sidemint.toml.key" $key) (include "sidemint.toml.value" $value)) -}}
    {{- end -}}
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
