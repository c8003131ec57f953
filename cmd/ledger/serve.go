package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// serveVerb is ledger serve.
type serveVerb struct {
	storageFlags
	engineFlags
	Roles                    []string `enum:"api,follow,attempt" default:"api,follow,attempt" placeholder:"ROLE" help:"What this process does, of api, follow and attempt: answer the API, keep the read models, attempt webhooks. Default: all. Any number of processes may share a database, in any mixture."`
	AllowPrivateDestinations bool     `help:"Let webhooks go to loopback, private and link-local addresses. Off unless you know all who configure destinations."`
	LogLevel                 string   `enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
}

// Help says what the process tells, and what a stop does.
func (v *serveVerb) Help() string {
	return `/metrics tells Prometheus what the process does, the README what each of its metrics means. Spans of requests and of webhook
attempts are sent by OTLP over HTTP when OTEL_EXPORTER_OTLP_ENDPOINT is set; OpenTelemetry's other variables count as well.

On SIGINT or SIGTERM nothing new is begun; requests and webhook attempts under way end and are recorded. A second signal ends the
process at once, which loses nothing either: an attempt under way is made again.`
}

// Run serves until ctx is done.
func (v *serveVerb) Run(ctx context.Context, w world) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(v.LogLevel)); err != nil {
		return fmt.Errorf("read log level: %w", err)
	}
	if len(v.Roles) == 0 {
		return errors.New("--roles must name at least one of api, follow and attempt")
	}
	pool, keys, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	e := engine{
		engineFlags: v.engineFlags, pool: pool, keys: keys, roles: v.Roles, private: v.AllowPrivateDestinations,
		log: v.logger(w.err, level),
	}
	return e.run(ctx)
}
