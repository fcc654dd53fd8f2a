#!/usr/bin/env bash
# Builds the Dockerfile for real and runs the image, without a daemon and without a registry.
#
#   tests/image/run.sh            PROFILE=release for what is published; the default, "dev", builds faster
#
# The base images are stand-ins made here: the build stage borrows this machine's /usr and Rust, the final one holds what
# distroless/static holds (CA bundle, passwd, /tmp). So this proves the Dockerfile's steps and their result, not the
# published base images. Never publish an image that was built here.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/image
tools=${TOOLS:-$root/.tools/venv}
profile=${PROFILE:-dev}

needs=(buildah podman runc catatonit "$tools/bin/hadolint")
missing() { for part in "${needs[@]}"; do command -v "$part" >/dev/null || echo "$part"; done; }
if [ -n "$(missing)" ]; then "$root/tests/install-parts"; fi
if [ -n "$(missing)" ]; then echo "image: missing: $(missing | tr '\n' ' ')"; exit 1; fi

run=$(mktemp -d)
provider= receiver=
# Compiled crates stay for the next run; everything else goes.
cache=$root/.tools/image-cache
mkdir -p "$cache"
b() { TMPDIR=$cache nice -n 10 buildah --root "$run/cs" --runroot "$run/cr" --storage-driver vfs "$@"; }
p() { podman --root "$run/cs" --runroot "$run/cr" --storage-driver vfs --runtime runc --cgroup-manager cgroupfs "$@"; }
end() {
    [ -z "$provider" ] || kill "$provider" 2>/dev/null || true
    [ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true
    p rm --force --all --time 0 >"$run/end.log" 2>&1 || true
    b umount --all >>"$run/end.log" 2>&1 || true
    # podman leaves a monitor behind for each exec, for five minutes. They are ours: the folder is in their arguments.
    local monitors
    monitors=$(pgrep -f "conmon.*$run" || true)
    [ -z "$monitors" ] || xargs kill <<<"$monitors" 2>/dev/null || true
    rm -rf "$run"
}
trap end EXIT

passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED $1"; shift; [ $# -eq 0 ] || printf '       %s\n' "$@"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1" "wanted: $3" "got:    $2"; fi; }
does() { local name=$1; shift; if "$@" >"$run/out" 2>&1; then ok; else bad "$name" "$(tail -n 5 "$run/out")"; fi; }

# ---- The Dockerfile ----

does "hadolint has nothing to say" "$tools/bin/hadolint" "$root/Dockerfile"

# ---- Base images ----

# What the Dockerfile says, so that the names are in one place.
arg() { sed -n "s/^ARG $1=//p" "$root/Dockerfile"; }

stand_in() { # NAME FOLDER [buildah config options]
    local name=$1 folder=$2 container; shift 2
    container=$(b from scratch)
    b add --quiet "$container" "$folder" / >/dev/null
    b config "$@" "$container"
    b commit --quiet --signature-policy "$here/policy.json" "$container" "$name" >/dev/null
    b rm "$container" >/dev/null
}

final=$run/distroless-like
mkdir -p "$final"/etc/ssl/certs "$final"/home/nonroot "$final"/tmp
chmod 1777 "$final/tmp"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$final/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$final/etc/group"
cp -L /etc/ssl/certs/ca-certificates.crt "$final/etc/ssl/certs/"
stand_in "$(arg BASE_IMAGE)" "$final" --user 65532:65532 --env PATH=/usr/local/bin:/usr/bin:/bin

slim=$run/slim-like
mkdir -p "$slim"/{etc/alternatives,usr,tmp,root,opt/rust,cargo/registry}
for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$slim/$folder"; done
chmod 1777 "$slim/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$slim/etc/passwd"
printf 'root:x:0:\n' >"$slim/etc/group"
stand_in "$(arg RUST_IMAGE)" "$slim" --env PATH=/opt/rust/bin:/usr/bin:/bin

# ---- Build ----

# The crates come from this machine's cargo folder; this fills it where it has gaps.
target=$(rustc --print host-tuple)
cargo fetch --quiet --locked --manifest-path "$root/Cargo.toml" --target "$target"

started=$SECONDS
if ! b bud --isolation chroot --pull-never --signature-policy "$here/policy.json" --network host --format docker \
    --build-arg CARGO_NET_OFFLINE=true --build-arg PROFILE="$profile" \
    --build-arg CREATED=2026-05-04T18:40:00Z --build-arg REVISION=0123abc \
    --volume /usr:/usr:ro --volume /etc/alternatives:/etc/alternatives:ro --volume "$(rustc --print sysroot)":/opt/rust:ro \
    --volume "${CARGO_HOME:-$HOME/.cargo}/registry":/cargo/registry:ro \
    --tag localhost/sidemint:test "$root" >"$run/build.log" 2>&1; then
    tail -n 30 "$run/build.log"
    bad "the Dockerfile builds"
    echo "image: $passed passed, $failed failed"
    exit 1
fi
ok
echo "built with profile $profile in $((SECONDS - started)) s"

# ---- What is in the image ----

inspect() { p image inspect --format "$1" localhost/sidemint:test; }
is "user" "$(inspect '{{.Config.User}}')" "65532:65532"
is "entrypoint" "$(inspect '{{json .Config.Entrypoint}}')" '["/usr/local/bin/sidemint"]'
is "health check" "$(inspect '{{json .HealthCheck.Test}}')" '["CMD","/usr/local/bin/sidemint","healthcheck"]'
is "configuration" "$(inspect '{{join .Config.Env "\n"}}' | grep ^SIDEMINT_)" "SIDEMINT_CONFIG=/etc/sidemint/config.toml"
is "ports" "$(inspect '{{json .Config.ExposedPorts}}')" '{"8080/tcp":{},"8081/tcp":{},"9001/tcp":{},"9090/tcp":{}}'
is "stop signal" "$(inspect '{{.Config.StopSignal}}')" SIGTERM
label() { inspect "{{index .Labels \"org.opencontainers.image.$1\"}}"; }
is "label created" "$(label created)" 2026-05-04T18:40:00Z
is "label revision" "$(label revision)" 0123abc
is "label base.name" "$(label base.name)" "$(arg BASE_IMAGE)"
is "label version" "$(label version)" "$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)"
for name in title description source documentation vendor licenses; do
    does "label $name" test -n "$(label "$name")"
done
is "nothing of the test's own is left in the image" "$(inspect '{{json .Config.Env}}' | grep -c CARGO || true)" 0

container=$(b from --pull-never --signature-policy "$here/policy.json" localhost/sidemint:test)
files=$(b mount "$container")
added=$(cd "$files" && find . -type f ! -path './etc/*' ! -path './run/*' | sort)
is "the binary is the only file that the Dockerfile adds" "$added" "./usr/local/bin/sidemint"
is "no shell, and nothing else to run" "$(find "$files" -type f -perm /111 -printf '%f\n')" "sidemint"
is "the queue's folder is the user's" "$(stat -c '%u:%g' "$files/var/lib/sidemint")" "65532:65532"
is "no setuid file" "$(find "$files" -type f -perm /6000)" ""
is "the binary needs no library" "$(readelf -ld "$files/usr/local/bin/sidemint" | grep -cE 'NEEDED|INTERP' || true)" 0
echo "binary: $(stat -c %s "$files/usr/local/bin/sidemint") bytes"
b umount "$container" >/dev/null
b rm "$container" >/dev/null

# ---- Run it ----

# Without limits of its own runc asks for more than some machines allow.
confined=(--network host --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges
    --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --no-healthcheck)

status=0
p run --rm "${confined[@]}" localhost/sidemint:test >"$run/said" 2>&1 || status=$?
is "without a configuration it stops with status 2" "$status" 2
does "and says which file it wanted" grep -q /etc/sidemint/config.toml "$run/said"

# A provider by name: a static binary has to find it without the system's own resolver library. The secret is a file of
# root's that all may read, as the chart mounts it.
mkdir "$run/secret"
printf 'sk_live_image_test' >"$run/secret/api-key"
chmod 0444 "$run/secret/api-key"
python3 "$here/provider.py" >"$run/provider" &
provider=$!
for _ in $(seq 100); do [ -s "$run/provider" ] && break; sleep 0.1; done
read -r port <"$run/provider"
p run --rm "${confined[@]}" --volume "$here/provider.toml":/etc/sidemint/config.toml:ro \
    --volume "$run/secret":/run/secrets/sidemint/sendsar:ro --env SIDEMINT_PROVIDERS__CHAT__API_URL="http://localhost:$port" \
    localhost/sidemint:test mint --user alice >"$run/minted" 2>&1 || true
does "a token from a provider that is reached by name" grep -q '"token":"from-the-provider"' "$run/minted"
is "which was asked with the mounted secret" "$(sort -u "$run/provider" | grep / | tr '\n' ' ')" \
    "/auth/token sk_live_image_test /users sk_live_image_test "

free_ports() { python3 -c 'import socket
held = [socket.socket() for _ in range(2)]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])'; }
read -r front ops <<<"$(free_ports)"

# Ops on every address here, to see that the health check then still finds it.
id=$(p run --detach "${confined[@]}" --volume "$root/config.toml":/etc/sidemint/config.toml:ro \
    --env SIDEMINT_SERVER__LISTEN="127.0.0.1:$front" --env SIDEMINT_OPS__LISTEN="0.0.0.0:$ops" localhost/sidemint:test)
state() { p inspect --format "{{.State.$1}}" "$id"; }

live() { curl --silent --fail --max-time 2 "http://127.0.0.1:$ops/$1" >/dev/null; }
for _ in $(seq 100); do live livez && break; [ "$(state Status)" = running ] || break; sleep 0.1; done
does "answers /livez" live livez
does "answers /readyz" live readyz

pid=$(state Pid)
field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status" | tr '\t' ' '; }
is "runs as 65532" "$(field Uid)" "65532 65532 65532 65532"
is "and its group" "$(field Gid)" "65532 65532 65532 65532"
is "no capability" "$(field CapEff)$(field CapPrm)$(field CapBnd)" "$(printf '0%.0s' $(seq 48))"
is "no new privileges" "$(field NoNewPrivs)" 1
is "seccomp filter" "$(field Seccomp)" 2
is "root file system is read-only" "$(awk '$5 == "/" { split($6, o, ","); print o[1] }' "/proc/$pid/mountinfo")" ro

session() { curl --silent --max-time 5 "$@" "http://127.0.0.1:$front/api/chat/session"; }
is "a session for alice" "$(session -H 'X-Forwarded-User: alice' |
    python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["chatUserId"], s["token"].count("."))')" "alice 2"
is "none without a user" "$(session --output /dev/null --write-out '%{http_code}')" 401

does "the health check is content" p exec "$id" /usr/local/bin/sidemint healthcheck
does "so is the chart's probe, which reads no file" p exec "$id" /usr/local/bin/sidemint healthcheck --live --config /dev/null
status=0
p exec --env SIDEMINT_OPS__LISTEN=127.0.0.1:1 "$id" /usr/local/bin/sidemint healthcheck >"$run/out" 2>&1 || status=$?
is "the health check fails where nothing answers" "$status" 1
for shell in /bin/sh /bin/bash /busybox/sh; do
    if p exec "$id" "$shell" -c true >"$run/out" 2>&1; then bad "no $shell"; else ok; fi
done

started=$SECONDS
p kill --signal TERM "$id" >/dev/null
for _ in $(seq 300); do [ "$(state Status)" = exited ] && break; sleep 0.1; done
is "SIGTERM ends it with status 0" "$(state Status) $(state ExitCode)" "exited 0"
# drain_delay 0 s and drain_timeout 20 s in config.toml; nothing is in flight.
took=$((SECONDS - started))
does "within the drain time (took $took s)" test "$took" -le 21
p logs "$id" >"$run/log" 2>&1 || true
does "no token in its log" test "$(grep -cE 'eyJ[A-Za-z0-9_-]+\.' "$run/log")" = 0
if [ "$failed" -gt 0 ]; then echo "---- log of the container"; tail -n 20 "$run/log"; fi

# ---- Webhooks: what is accepted outlives the container ----

printf 'whsec_image_test_0123456789abcdef' >"$run/secret/webhook-secret"
printf 'whsec_%s' "$(printf 'image test, thirty-two bytes long' | base64)" >"$run/secret/forward-key"
chmod 0444 "$run"/secret/*
python3 "$here/receiver.py" >"$run/receiver" &
receiver=$!
for _ in $(seq 100); do [ -s "$run/receiver" ] && break; sleep 0.1; done
read -r application <"$run/receiver"
read -r front ops <<<"$(free_ports)"
hooks() { # starts a container; the application is at port $1
    p run --detach "${confined[@]}" --volume "$here/webhooks.toml":/etc/sidemint/config.toml:ro \
        --volume "$run/secret":/run/secrets/sidemint/sendsar:ro --volume sidemint-queue:/var/lib/sidemint \
        --env SIDEMINT_WEBHOOK_SERVER__LISTEN="127.0.0.1:$front" --env SIDEMINT_OPS__LISTEN="127.0.0.1:$ops" \
        --env SIDEMINT_WEBHOOKS__CHAT__TO="http://127.0.0.1:$1/hooks/chat" localhost/sidemint:test
}
body='{"event":"image.test","roomId":"r1"}'
proof=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat "$run/secret/webhook-secret")" -r | cut -d' ' -f1)
post() { curl --silent --output /dev/null --write-out '%{http_code}' --max-time 5 --header 'Content-Type: application/json' \
    --header "X-Webhook-Signature: sha256=$1" --data "$body" "http://127.0.0.1:$front/webhooks/chat"; }
id=$(hooks 1)
for _ in $(seq 100); do live readyz && break; [ "$(state Status)" = running ] || break; sleep 0.1; done
is "a forged event is refused" "$(post "${proof//[0-9]/a}")" 401
is "a proven one is kept, though the application is down" "$(post "$proof")" 200
p kill --signal KILL "$id" >/dev/null
id=$(hooks "$application")
for _ in $(seq 300); do [ "$(wc -l <"$run/receiver")" -gt 1 ] && break; sleep 0.1; done
is "it comes after kill -9, from the volume" "$(tail -n +2 "$run/receiver")" "/hooks/chat $body"
p kill --signal TERM "$id" >/dev/null
kill "$receiver" 2>/dev/null || true
if [ "$failed" -gt 0 ]; then echo "---- log of the container"; p logs "$id" 2>&1 | tail -n 20; fi

echo "image: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
