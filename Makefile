# Verbs only; each script has --help in its first lines. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down kubeconfig dashboard test test-vm conformance fuzz check bench profile shim images node-image publish

help: ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

up: ## cluster up, apps deployed, http://localhost:8088 answers (BASE=k3s|local)
	@scripts/up.sh

down: ## cluster down, nothing left behind
	@scripts/down.sh

kubeconfig: ## print the kubeconfig of the cluster
	@scripts/kubeconfig.sh

dashboard: ## a page in the browser that shows the cluster, with a token of the administrator (Ctrl-C ends it)
	@scripts/dashboard.sh

test: ## every test: unit, containerd, cluster
	@scripts/test.sh

test-vm: ## the tests with containerd in a virtual machine, all of them (half an hour and more where it is emulated)
	@scripts/test.sh vm

conformance: ## the suites of others with runc and with the shim (SUITES="critest client cri runtime-tools")
	@scripts/conformance.sh $(SUITES)

fuzz: ## look for inputs that break the parsers (SECONDS=60 for each of TARGETS="manifest routes …")
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

check: ## formatting, lints, licences, shell
	@scripts/check.sh

bench: ## measure it beside its peers, into target/bench/ (QUICK=1, FIGURES="start memory")
	@scripts/bench.sh $(if $(QUICK),--quick) $(FIGURES)

profile: ## count anew what the shim is optimised by (an hour; for a new compiler, engine or way of a request)
	@scripts/profile.sh

shim: ## the shim as it is shipped, into dist/ (half an hour on two cores)
	@scripts/shim.sh

images: ## the apps as OCI archives, into dist/images/
	@scripts/apps-images.sh

node-image: ## the node image: base plus shim (BASE_IMAGE=…)
	@scripts/node-image.sh

publish: ## push both apps (REGISTRY=HOST[:PORT]/PREFIX)
	@scripts/publish.sh "$(REGISTRY)"
