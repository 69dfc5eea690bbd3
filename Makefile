# make demo         builds Heddle and shows a canary on this machine; Ctrl-C ends it
# make demo-check   the same without a terminal, as a test under load
# make build        a release build of heddle
# make install      the release build to PREFIX/bin (default /usr/local)
# make envoy        an Envoy to the cache folder, where heddle finds it
# make test         all tests, with a real Envoy, Kubernetes API server, Helm, Prometheus and
#                   Chromium, and moto as AWS
# make lint         swift format, strict
# make clean        removes what was built

PREFIX ?= /usr/local
# An undeclared import between modules would compile without this.
SWIFT_BUILD = swift build --explicit-target-dependency-import-check error
CANARY = python3 Manifests/examples/canary/demo.py

.PHONY: demo demo-check build debug build-tests install test lint clean libraries envoy

libraries:
	@.ci/install-libraries

envoy:
	@.ci/install-envoy

# The demo takes a debug build: it is done in two thirds of a release build's time, and `make test`
# uses it too.
debug: libraries
	$(SWIFT_BUILD) --product heddle

demo: debug
	@envoy=$$(.ci/install-envoy) && exec $(CANARY) --heddle .build/debug/heddle --envoy "$$envoy"

demo-check: debug
	@envoy=$$(.ci/install-envoy) && exec $(CANARY) --heddle .build/debug/heddle --envoy "$$envoy" --check

build: libraries
	$(SWIFT_BUILD) -c release --product heddle

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 .build/release/heddle "$(DESTDIR)$(PREFIX)/bin/heddle"

build-tests: libraries
	$(SWIFT_BUILD) --build-tests

# A test that cannot find its program fails, as one that is skipped shows nothing.
test: build-tests
	envoy=$$(.ci/install-envoy) && moto=$$(.ci/install-moto) \
	    && prometheus=$$(.ci/install-prometheus) && chromium=$$(.ci/install-chromium) \
	    && kubernetes=$$(.ci/install-kubernetes) && helm=$$(.ci/install-helm) \
	    && HEDDLE_ENVOY="$$envoy" HEDDLE_REQUIRE_ENVOY=1 HEDDLE_MOTO="$$moto" HEDDLE_REQUIRE_MOTO=1 \
	    HEDDLE_PROMETHEUS="$$prometheus" HEDDLE_REQUIRE_PROMETHEUS=1 \
	    HEDDLE_CHROMIUM="$$chromium" HEDDLE_REQUIRE_CHROMIUM=1 \
	    HEDDLE_KUBERNETES="$$kubernetes" HEDDLE_REQUIRE_KUBERNETES=1 \
	    HEDDLE_HELM="$$helm" HEDDLE_REQUIRE_HELM=1 \
	    swift test --skip-build --no-parallel --explicit-target-dependency-import-check error

lint:
	find Package.swift Sources Tests -name '*.swift' -not -path '*/Generated/*' -print0 \
	    | xargs -0 swift format lint --strict --parallel

clean:
	swift package clean
	rm -rf .build/demo
