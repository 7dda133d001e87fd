# syntax=docker/dockerfile:1
# Build:  docker build -t cosell-sync .      (--build-arg FEATURES=pubsub: with change events)
# Run:    docker run --read-only -v cosell-sync:/var/lib/cosell-sync \
#           -v ./cosell-sync.toml:/etc/cosell-sync/cosell-sync.toml:ro -v ./secrets:/run/secrets:ro \
#           -p 8080:8080 cosell-sync

FROM rust:1.95-slim-bookworm AS build
# ring needs a C compiler.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
ARG FEATURES=""
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --features "$FEATURES" \
    && cp target/dist/cosell-sync /cosell-sync \
    && mkdir -p /empty

# No shell, no package manager: glibc, the public certificate authorities and the program.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /cosell-sync /usr/local/bin/cosell-sync
# A named volume takes over the owner of the folder it is mounted on.
COPY --from=build --chown=65532:65532 /empty /var/lib/cosell-sync
USER 65532:65532
# Everything that is written goes here; the rest of the file system may be read-only.
VOLUME /var/lib/cosell-sync
WORKDIR /var/lib/cosell-sync
ENV COSELL_SYNC_CONFIG=/etc/cosell-sync/cosell-sync.toml
EXPOSE 8080
# Asks the daemon's own `/healthz`: the store is open and the door is. It says nothing of the remote
# systems; restarting us would not repair them.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/cosell-sync", "health"]
# Stops softly on SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/cosell-sync"]
CMD ["run"]
