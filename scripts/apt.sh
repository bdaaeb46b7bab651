# shellcheck shell=bash
# apt_install PACKAGE...: installs Debian's packages, or says that they are missing where it can't. To be sourced.
apt_install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $* (Debian's names); install them and try again" >&2
    return 1
  fi
  echo "installing $*"
  # Debian starts what it installs; nothing of it is wanted as a service here.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
