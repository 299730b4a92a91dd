# PostgreSQL as this machine's packages have it, with the interface of the image that it stands for.
FROM scratch
ADD root.tar /
COPY postgres-entrypoint.sh /usr/local/bin/entrypoint.sh
ARG BIN
ENV PATH=$BIN:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# Fast shutdown; SIGTERM would wait for the clients.
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "/usr/local/bin/entrypoint.sh"]
CMD ["postgres"]
