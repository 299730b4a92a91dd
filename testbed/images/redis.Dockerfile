# Redis as this machine's packages have it, with the interface of the image that it stands for.
FROM scratch
ADD root.tar /
COPY redis-entrypoint.sh /usr/local/bin/entrypoint.sh
ENV PATH=/usr/local/bin:/usr/bin:/bin
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["/bin/sh", "/usr/local/bin/entrypoint.sh"]
CMD ["redis-server"]
