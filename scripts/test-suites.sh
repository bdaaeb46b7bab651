# shellcheck shell=bash
# What scripts/test.sh runs, in order: sourced by it, for its `need`, `run` and `suites`.
# shellcheck disable=SC2154 # test.sh sets suites
wants() { [[ " ${suites[*]} " == *" $1 "* ]]; }
# tests_in DIR...: their tests, by name. They are built with the whole workspace: without one of its crates a dependency has other features, and is built anew.
tests_in() { find "${@/%//tests}" -maxdepth 1 -mindepth 1 -printf '%f\n' 2>/dev/null | sed 's/\.rs$//; s/^/--test /' | sort -u; }
host=$(rustc -vV | sed -n 's/^host: //p')

need install scripts/install.sh test
need components scripts/wasm.sh tests/components
need python scripts/python.sh
need apps scripts/wasm.sh apps
CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-gnu
export CARGO_BUILD_TARGET
export SPIN_TEST_COMPONENTS=${WASM_TARGET_DIR:-$PWD/tests/components/target}/components SPIN_SHIM_DIR=$PWD/.state/shim SPIN_OCI=$PWD/.state/shim/spin-oci CONTAINERD_V2_BIN=$PWD/.state/bin \
  CONTAINERD_1_7_BIN=$PWD/.state/containerd-1.7
need shim scripts/shim.sh quick
need dashboard-build scripts/dashboard-build.sh

if wants unit; then
  # shellcheck disable=SC2046 # one word an argument
  run unit cargo test --locked --no-fail-fast --workspace --lib --bins $(tests_in shim/*)
  run dashboard npm --prefix dashboard test
  run apps-native bash -c "cd apps && cargo test --locked --no-fail-fast --target $host"
fi
if wants containerd || wants cluster || wants vm; then need base scripts/local-base.sh; fi
if wants containerd || wants vm; then need containerd-1.7 scripts/containerd-1.7.sh; fi
if wants unit; then
  run node scripts/local-go.sh test -v ./internal/...
  run compare env CGO_ENABLED=0 go test -C tests/conformance -v ./compare
fi
if wants containerd; then
  # shellcheck disable=SC2046 # one word an argument
  run containerd cargo test --locked --no-fail-fast --workspace $(tests_in tests/containerd) -- --test-threads=2
  run containerd-cgroup2 scripts/test-cgroup2.sh cargo test --locked --no-fail-fast --workspace \
    --test lifecycle --test serving --test bad_input --test creating --test starting --test confinement --test user_ranges \
    -- --test-threads=2
  need vm-disk scripts/vm/disk.sh
  run containerd-vm scripts/test-vm.sh
  run bench cargo test --locked --no-fail-fast --workspace --test smoke -- --test-threads=1
  run conformance scripts/conformance.sh critest client
fi
if wants vm; then
  need vm-disk scripts/vm/disk.sh
  SUITE_TIMEOUT=2h run vm scripts/test-vm.sh all
fi
if wants cluster; then
  trap 'scripts/test-images.sh stop; scripts/down.sh >>.state/logs/test-down.log 2>&1' EXIT
  need up env BASE=local scripts/up.sh
  run up-again env BASE=local scripts/test-up.sh
  . scripts/cluster-env.sh
  # Before images are pulled: of content that a kubelet has pulled under another name, it pulls imported images too.
  run k3d scripts/test-k3d.sh
  run dashboard-browser npm --prefix dashboard run test:browser
  need test-images scripts/test-images.sh start
  export SIDECAR_IMAGE=docker.io/library/redis:7 PULLED_IMAGE=k3d-registry.localhost:5000/test/restaurant:0.1.0
  # shellcheck disable=SC2046 # one word an argument
  run cluster cargo test --locked --no-fail-fast --workspace $(tests_in tests/cluster) -- --test-threads=2
  need test-registry scripts/test-images.sh stop
  run down scripts/test-down.sh
  run readme scripts/test-readme.sh
  run down-again scripts/test-down.sh
  trap - EXIT
fi
