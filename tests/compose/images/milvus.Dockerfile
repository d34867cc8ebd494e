# Stand-in for the image of Milvus: Milvus Lite as a server, without access control. Base: the image of Trunkline.
ARG BASE
FROM ${BASE}
USER root
RUN install -d /var/lib/milvus
COPY milvus.py /usr/local/bin/milvus
RUN chmod 755 /usr/local/bin/milvus
LABEL trunkline.stand-in=milvus-lite
