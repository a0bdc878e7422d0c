# The director, from the working tree. `conductor up` needs no Dockerfile: it sends the bundled program through buildpacks.
FROM node:24-slim AS build
WORKDIR /src
COPY . .
RUN npm run build

FROM gcr.io/distroless/nodejs24-debian12
WORKDIR /app
COPY --from=build /src/director/dist/ ./
ENV NODE_ENV=production
USER 65532
CMD ["main.mjs"]
