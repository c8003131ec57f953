TOOL    := go tool -modfile=.ci/tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: help run test race snippets bench check fmt vet imports generate generated lint build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start the ledger with its own Postgres, sample companies and a receiver
	go run ./cmd/ledger dev --demo

test: ## run every test; it starts the Postgres that it needs
	go test -timeout=20m ./...

race: ## run every test under the race detector, in random order, with fewer repetitions
	go test -race -short -shuffle=on -timeout=30m ./...

snippets: ## run what customers run: curl, Node, Python and express against the ledger
	.ci/snippets.sh

bench: ## measure: every benchmark, once
	go test -run '^$$' -bench . -benchmem ./...

check: fmt vet imports generated lint test ## all that a change must pass

fmt: ## format the code
	$(TOOL) golangci-lint fmt

vet: ## report what the compiler lets through
	go vet ./...

imports: ## check who imports whom
	.ci/imports.sh

generate: ## write the generated files again
	go generate ./...

generated: ## check that the generated files are current
	.ci/generated.sh

lint: ## run the linters
	$(TOOL) golangci-lint run

build: ## build bin/ledger
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ledger ./cmd/ledger

clean: ## remove what was built and measured
	rm -rf bin coverage.out *.test *.prof
