// Command ledger is the delivery ledger: it takes qualified companies in, pushes them to
// webhooks and serves them to whoever pulls. See ledger --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set when a release is built.
var version string

// verbs are what the program can do, a file each.
type verbs struct {
	Serve         serveVerb         `cmd:"" help:"Answer the API, keep the read models, attempt what is due."`
	Dev           devVerb           `cmd:"" help:"Everything in one process, with a private Postgres: for trying out and for development."`
	Migrate       migrateVerb       `cmd:"" help:"Bring the database's schema up to date."`
	Keys          keysVerb          `cmd:"" help:"Create, list, expire and revoke API keys."`
	Organisations organisationsVerb `cmd:"" help:"Create and list organisations, for which keys act."`
	Ingest        ingestVerb        `cmd:"" help:"Send qualified companies from a file to a running ledger."`
	Explain       explainVerb       `cmd:"" help:"Tell in plain words what happened to a company."`
	Replay        replayVerb        `cmd:"" help:"Have dispatches attempted again, or companies dispatched to a new destination: start, list, show and cancel jobs."`
	Verify        verifyVerb        `cmd:"" help:"Check that the log is what was recorded."`
	Reconcile     reconcileVerb     `cmd:"" help:"Compare what was handed over with what became of it."`
	Rebuild       rebuildVerb       `cmd:"" help:"Build read models again from the log, while the ledger serves."`
	Events        eventsVerb        `cmd:"" help:"Tell which types of events there are, and what their data is."`
	Export        exportVerb        `cmd:"" help:"Write the log or a read model to a file, for analysis."`
	Erase         eraseVerb         `cmd:"" help:"Erase somebody from what an organisation was told."`
	Checkpoint    checkpointVerb    `cmd:"" help:"Sign what the log is now, or show the public key of such signatures."`
	VerifyProof   verifyProofVerb   `cmd:"" help:"Check proofs and signed states of a log, with nothing but the public key."`
	Rekey         rekeyVerb         `cmd:"" help:"Seal all secrets with the first encryption key."`
	Version       versionVerb       `cmd:"" help:"Tell which build this is."`
}

// world is what the program sees of its surroundings. Tests make their own.
type world struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the live heap is small: a few more megabytes for a tenth of the time
	}
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the program at once
		stop()
	}()
	err := run(ctx, os.Args[1:], world{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(1)
	}
}

// run parses args and carries out their verb.
func run(ctx context.Context, args []string, w world) error {
	exited := errors.New("exited")
	parser, err := newParser(ctx, w, func(int) { panic(exited) })
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil && r != any(exited) { // --help has been printed
			panic(r)
		}
	}()
	verb, err := parser.Parse(args)
	if err != nil {
		return withHint(err)
	}
	return verb.Run()
}

// newParser returns a parser of the command line. It calls exit when it has printed help.
func newParser(ctx context.Context, w world, exit func(int)) (*kong.Kong, error) {
	parser, err := kong.New(&verbs{},
		kong.Name("ledger"),
		kong.Description("The delivery ledger hands qualified companies over to customers: pushed to webhooks, or pulled from an API. "+
			"Every flag can also be set by the environment variable named behind it."),
		kong.DefaultEnvars("LEDGER"),
		kong.Writers(w.out, w.err),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(w),
	)
	if err != nil {
		return nil, fmt.Errorf("read command line: %w", err)
	}
	return parser, nil
}

// withHint adds to an error of the command line where to read on.
func withHint(err error) error {
	command := "ledger"
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context.Selected() != nil {
		command = e.Context.Selected().FullPath()
	}
	return fmt.Errorf("%w (see %s --help)", err, command)
}
