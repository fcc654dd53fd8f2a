# Two stages: a locked, static build, and an image that holds the binary, CA certificates and a user; no shell.
#
#   docker build -t sidemint .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8080:8080 -e SIDEMINT_SERVER__LISTEN=0.0.0.0:8080 \
#     -v "$PWD/my.toml:/etc/sidemint/config.toml:ro" sidemint
#
# Pinned by tag only: this file was written where no registry could be asked for digests. Whoever publishes the image
# pins them, here or with --build-arg, as NAME:TAG@sha256:…, and lets a bot move them.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

# The one step that uses the network. A stage of its own, so that only a changed Cargo.lock runs it again.
FROM ${RUST_IMAGE} AS fetch
# Not the base image's own CARGO_HOME, because its tools live there.
ENV CARGO_HOME=/cargo
# true: use the crates that are in /cargo/registry already.
ARG CARGO_NET_OFFLINE=false
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# Cargo refuses a manifest whose targets have no file, and none is here: placeholders, and no benches.
RUN mkdir src && touch src/lib.rs src/main.rs && sed -i '/^\[\[/,/^$/d' Cargo.toml \
    && cargo fetch --locked --target "$(rustc --print host-tuple)"

FROM ${RUST_IMAGE} AS build
ENV CARGO_HOME=/cargo CARGO_TARGET_DIR=/target
WORKDIR /build
COPY --from=fetch /cargo /cargo
COPY . .
# "release" for what is published; "dev" builds faster.
ARG PROFILE=release
# +crt-static links glibc into the binary, so the final image needs no library. The explicit --target keeps the flag
# away from build scripts and procedural macros, which cannot be static. aws-lc needs cc, which the base image has.
# Compiled crates are kept between builds. Our own is always compiled: COPY keeps the times of files, by which cargo
# would take the sources of an older checkout for those it has compiled already.
RUN --mount=type=cache,id=sidemint-target,target=/target,sharing=locked \
    find src -type f -exec touch {} + \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo install --path . --bin sidemint --root /out --no-track \
    --locked --offline --profile "${PROFILE}" --target "$(rustc --print host-tuple)" \
    && mkdir /out/queue

FROM ${BASE_IMAGE}
# Named again: what stands before the first stage is not known in it. Without a digest in BASE_IMAGE the label of it is empty.
ARG BASE_IMAGE
ARG BASE_DIGEST=
ARG VERSION=0.1.0
ARG REVISION=unknown
# RFC 3339; the time of the commit, so that a second build of it is the same.
ARG CREATED=
LABEL org.opencontainers.image.title="sidemint" \
      org.opencontainers.image.description="Session tokens for chat providers, as a sidecar" \
      org.opencontainers.image.source="https://github.com/sidemint/sidemint" \
      org.opencontainers.image.documentation="https://github.com/sidemint/sidemint/tree/main/docs" \
      org.opencontainers.image.vendor="The sidemint authors" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
COPY --from=build /out/bin/sidemint /usr/local/bin/sidemint
# The queue of webhooks, where some are configured: mount a volume here to keep it. An empty volume takes over its owner.
COPY --from=build --chown=65532:65532 /out/queue /var/lib/sidemint
# Mount the configuration here. Without one the program stops with a sentence: there is no default that would serve
# tokens to somebody the operator did not name.
ENV SIDEMINT_CONFIG=/etc/sidemint/config.toml
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# Front listener, webhooks, gRPC and ops. All listen on loopback unless told otherwise, which is right for a sidecar: it shares its
# network with the application. On its own, set SIDEMINT_SERVER__LISTEN=0.0.0.0:8080 and name the believed networks
# in identity.peers.networks.
EXPOSE 8080 8081 9001 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=5s --start-period=5s CMD ["/usr/local/bin/sidemint", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/sidemint"]
