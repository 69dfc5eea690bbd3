# Heddle for a cluster: the control plane, and `heddle redirect` for the Pods that it injects.
#
#   docker build -t registry.example.com/heddle:0.1.0 .

FROM swift:6.2-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libcurl4-openssl-dev libsqlite3-dev make python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# With Swift's libraries in the program, as the image that runs it has none.
RUN make build SWIFT_BUILD="swift build --static-swift-stdlib --explicit-target-dependency-import-check error" \
    && strip .build/release/heddle

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates iptables libcurl4 libsqlite3-0 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 heddle \
    && useradd --uid 65532 --gid heddle --no-create-home --home-dir /var/lib/heddle \
        --shell /usr/sbin/nologin heddle \
    && install -d -o heddle -g heddle -m 700 /var/lib/heddle
COPY --from=build /src/.build/release/heddle /usr/local/bin/heddle
# A number, by which Kubernetes sees that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/heddle"]
CMD ["--help"]
