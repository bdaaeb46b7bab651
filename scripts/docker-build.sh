# shellcheck shell=bash
# `docker_build`, for the scripts that source it: `docker build` with whichever builder this docker has. Without the buildx plugin that is the classic one,
# which a new client has to be asked for.
docker_build() {
  if docker buildx version >/dev/null 2>&1; then
    docker buildx build --load "$@"
  else
    DOCKER_BUILDKIT=0 docker build "$@"
  fi
}
