# The director, from the working tree, with the tools that modules are made with. `conductor up` needs no Dockerfile: it
# sends the bundled program through buildpacks, which is enough as long as there are no modules.
FROM node:24-slim AS build
WORKDIR /src
COPY . .
RUN npm run build

FROM hashicorp/terraform:1.11 AS terraform

FROM node:24-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
  && rm -rf /var/lib/apt/lists/*
COPY --from=terraform /bin/terraform /usr/local/bin/terraform
WORKDIR /app
COPY --from=build /src/director/dist/ ./
ENV NODE_ENV=production
USER 65532
CMD ["node", "main.mjs"]
