# The director, from the working tree, with the tools that modules are made with. `conductor up` needs no Dockerfile: it
# sends the bundled program through buildpacks, which is enough as long as there are no modules. What else is made from
# here, and how it is run, stands in docs/running-elsewhere.md.
FROM node:24-slim AS build
WORKDIR /src
COPY . .
RUN npm run build

FROM hashicorp/terraform:1.11.4 AS terraform

# Both programs run as somebody who has a name, without which ssh does not work, and who owns two folders. Under tini,
# because tools outlive who started them, and somebody has to bury them.
FROM node:24-slim AS ground
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 65532 director \
  && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/service-director director \
  && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/service-director /var/lib/local-cloud
ENV NODE_ENV=production
ENTRYPOINT ["tini", "--"]

# docker build --target local-cloud: the local cloud, which runs from its sources beside Google's protos.
FROM ground AS local-cloud
WORKDIR /src
COPY --from=build /src ./
ENV HOME=/var/lib/local-cloud
USER 65532:65532
CMD ["node", "conductor/dist/main.js", "local", "start", "--dir", "/var/lib/local-cloud"]

FROM ground
COPY --from=terraform /bin/terraform /usr/local/bin/terraform
WORKDIR /app
COPY --from=build /src/director/dist/ ./
COPY deployments/door.mjs ./
# The folder of the program is not its to write in; whoever wants to keep this file puts a volume there.
ENV DIRECTOR_STATE=sqlite:/var/lib/service-director/state.sqlite
USER 65532:65532
CMD ["node", "main.mjs"]
