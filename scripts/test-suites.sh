# shellcheck shell=bash
# What scripts/test.sh runs, in order: sourced by it, for its `step`, `run` and `suites`.
# shellcheck disable=SC2154 # test.sh sets suites
wants() { [[ " ${suites[*]} " == *" $1 "* ]]; }
host=$(rustc -vV | sed -n 's/^host: //p')

step install scripts/install.sh test
step wasm-toolchain scripts/install-wasm.sh
step components scripts/wasm.sh tests/components
step apps scripts/wasm.sh apps
wasm=${WASM_TARGET_DIR:-$PWD/tests/components/target}/wasm32-wasip2/release
export SPIN_TEST_COMPONENTS=$wasm SPIN_SHIM_DIR=$PWD/dist SPIN_OCI=$PWD/dist/spin-oci CONTAINERD_V2_BIN=$PWD/.state/bin
step shim scripts/shim.sh

if wants unit; then
  run unit cargo test --release --locked --workspace --exclude containerd-tests --exclude cluster-tests
  run apps-native bash -c "cd apps && cargo test --locked --target $host"
fi
if wants containerd || wants cluster; then step base scripts/local-base.sh; fi
if wants unit; then run node bash -c 'cd node-image/local && go test -v ./...'; fi
if wants containerd; then
  run containerd cargo test --release --locked -p containerd-tests -- --test-threads=2
fi
if wants cluster; then
  trap 'scripts/down.sh >>.state/logs/test-down.log 2>&1' EXIT
  step up env CLUSTER=local scripts/up.sh
  run cluster cargo test --release --locked -p cluster-tests -- --test-threads=2
  run down scripts/test-down.sh
  trap - EXIT
fi
