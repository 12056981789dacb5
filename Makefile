# Targets: build demo test test-agents attack bench lint fuzz man install deps clean.
# make test passes AGENTBOX_TEST_REQUIRE on: features of the machine whose absence is a failure, "all" for every one.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 10s
BENCH   ?=

GO      ?= go
TAGS    := netgo osusergo runc_nocriu urfave_cli_no_docs
GOFLAGS_STATIC := -trimpath -buildvcs=false -tags "$(TAGS)"
LDFLAGS := -s -w -linkmode external -extldflags '-static' -X agentbox/internal/cli.version=$(VERSION)
export CGO_ENABLED := 1
# Where Go's own installation instructions put it; sudo and cron leave it out of PATH.
export PATH := $(PATH):/usr/local/go/bin

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
MD2MAN      := github.com/cpuguy83/go-md2man/v2@v2.0.7

MANUALS := docs/agentbox.1 docs/agentbox.toml.5

.PHONY: all build demo test test-agents attack bench lint fuzz man install deps deps-test deps-bench clean

all: build

build:
	$(GO) build $(GOFLAGS_STATIC) -ldflags "$(LDFLAGS)" -o agentbox .

demo: deps
	@$(MAKE) --no-print-directory build
	@testdata/demo/run.sh ./agentbox

test: deps-test
	@$(MAKE) --no-print-directory build
	@.ci/test ./agentbox "$(TAGS)"

test-agents: deps-test
	@$(MAKE) --no-print-directory build
	@.ci/test-agents ./agentbox "$(TAGS)"

attack:
	@.ci/deps build test
	@$(MAKE) --no-print-directory build
	@.ci/attack ./agentbox "$(TAGS)"

bench: deps-bench
	@$(MAKE) --no-print-directory build
	$(GO) run -buildvcs=false -tags "$(TAGS)" ./internal/bench -agentbox ./agentbox $(BENCH)

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet -tags "$(TAGS)" ./...
	$(GO) run $(STATICCHECK) -tags netgo,osusergo,runc_nocriu,urfave_cli_no_docs ./...
	$(GO) run $(GOVULNCHECK) -tags netgo,osusergo,runc_nocriu,urfave_cli_no_docs ./...

fuzz:
	@.ci/fuzz $(FUZZTIME) "$(TAGS)"

deps:
	@.ci/deps build

deps-test:
	@.ci/deps build test vm

deps-bench:
	@.ci/deps build bench

man: $(MANUALS)

# The title of a page is "# name(section)"; a program that reads roff wants the two apart.
docs/%: docs/%.md Makefile
	sed '1s/^# \(.*\)(\(.\))$$/# \1 \2 "" "agentbox" "User Manuals"/' $< | $(GO) run $(MD2MAN) >$@.new && mv $@.new $@

install: build man
	install -D -m 755 agentbox $(DESTDIR)$(PREFIX)/bin/agentbox
	install -D -m 644 docs/agentbox.1 $(DESTDIR)$(PREFIX)/share/man/man1/agentbox.1
	install -D -m 644 docs/agentbox.toml.5 $(DESTDIR)$(PREFIX)/share/man/man5/agentbox.toml.5
	install -D -m 644 internal/cli/shells/agentbox.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/agentbox
	install -D -m 644 internal/cli/shells/agentbox.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_agentbox
	install -D -m 644 internal/cli/shells/agentbox.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/agentbox.fish

clean:
	rm -f agentbox $(MANUALS)
