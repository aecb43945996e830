# Maru's image, for those who have a container engine; tools/image makes the same without one.
#
#     docker build --build-arg REVISION=$(git rev-parse HEAD) --tag maru:0.1.0 .
#
# cargo-chef builds the dependencies in a layer of their own, so that a change of ours builds only what is ours.
# What is left is distroless: the C library, certificates, a user without a name to log in with, and one program. It
# needs no folder that can be written, but for the keys of a gateway (MARU_KEYS), which are mounted. There is no
# nats-server in it and, without the feature "database", no database: those are images of their own.

FROM rust:1.95-bookworm AS chef
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --package maru --recipe-path recipe.json
COPY . .
# The time that the bill of materials bears; BuildKit sets it if the one who builds has.
ARG SOURCE_DATE_EPOCH=0
# Which commit it is, for `maru_build_info`; there is no git here to ask. It changes with each build, so it stands
# behind the layer of dependencies.
ARG REVISION=unknown
RUN MARU_COMMIT="$(printf %.12s "${REVISION}")" cargo build --release --locked --package maru \
 && python3 tools/image.d/crates.py /papers \
 && cp LICENSE LICENSE-APACHE LICENSE-MIT NOTICE /papers/

# Debian 12 as in the stage that builds: the binary's C library must not be younger than the image's.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG REVISION=unknown
LABEL org.opencontainers.image.title="maru" \
      org.opencontainers.image.description="NATS JetStream streaming platform with durable job workers, and products on it" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND BUSL-1.1" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /papers /usr/share/doc/maru
COPY --from=build /src/target/release/maru /maru
# By number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/maru"]
