# All of Clowder's programs in one image:
#   docker build --tag REGISTRY/clowder:VERSION .
# Binaries run on any processor of the last ten years (x86-64-v3: AVX2). For newer machines alone, as where AVX-512 is
# everywhere: --build-arg TARGET_CPU=x86-64-v4

ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=trixie

FROM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS build
# Versions are those of the Debian release above.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends clang cmake g++ libclang-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG TARGETARCH
ARG TARGET_CPU
# RUSTFLAGS, set in any case: a build for the machine that it runs on would not run on others.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=clowder-target-${TARGETARCH},sharing=locked \
    set -eu; cpu=${TARGET_CPU:-}; \
    if [ -z "$cpu" ] && [ "$(uname -m)" = x86_64 ]; then cpu=x86-64-v3; fi; \
    export RUSTFLAGS="${cpu:+-C target-cpu=$cpu}"; \
    cargo build --release --locked --bin clowder --bin clowder-gateway --bin clowder-controller \
        --bin clowder-runtime --bin clowder-storage --bin oxide-controller; \
    install -D --target-directory=/out target/release/clowder target/release/clowder-gateway \
        target/release/clowder-controller target/release/clowder-runtime target/release/clowder-storage \
        target/release/oxide-controller

FROM docker.io/library/debian:${DEBIAN_RELEASE}-slim
# Certificates for the sources of models, the C++ and OpenMP libraries for llama.cpp.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 clowder \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/clowder --create-home --shell /usr/sbin/nologin clowder
COPY --from=build /out/ /usr/local/bin/
USER 10001:10001
# Gateway, worker, storage manager, the controller's health, the controller of an Oxide rack.
EXPOSE 3090 8000 8050 8081 8080
CMD ["clowder", "--help"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Clowder" \
      org.opencontainers.image.description="Language models on your own machines, behind one OpenAI-compatible API" \
      org.opencontainers.image.source="https://github.com/aifoundry-org/clowder" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
