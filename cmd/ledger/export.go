package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections/export"
)

// exportVerb is ledger export.
type exportVerb struct {
	databaseFlags
	Table        string              `arg:"" enum:"log,companies,daily,deliveries,destinations,dispatches,exclusions,history,reasons,replays,requalifications,stats" help:"What to export: log, or a table of the read models: companies, daily, deliveries, destinations, dispatches, exclusions, history, reasons, replays, requalifications, stats."`
	Format       export.Format       `enum:"ndjson,csv,parquet" default:"ndjson" help:"ndjson, csv or parquet."`
	Out          string              `placeholder:"FILE" help:"File to write, whole or not at all. Default: standard output."`
	Append       bool                `help:"Go on with the file after the last event in it, once a line that was not written to its end has been cut off. The file may be absent. For the log as ndjson or csv."`
	After        eventstore.Position `placeholder:"POSITION" help:"Export the log after this position."`
	Until        string              `placeholder:"POSITION|TIME" help:"Export the log up to this position, or up to what was recorded at this time, such as 2026-07-01T00:00:00Z. Default: all."`
	Organisation string              `placeholder:"NAME" help:"Export what is about one organisation, by name or ID. Default: all."`

	until eventstore.Position // 0: all, or up to the time
	time  time.Time
}

// Help says what is written, and what an interruption costs.
func (v *exportVerb) Help() string {
	return `Writes the events of the log, or the rows of a read model as of one instant, with the same columns in each format; README.md lists them. It
only reads, may be run while the ledger is at work, and takes the same memory however much there is.

Numbers are integers of 64 bits, times are UTC in microseconds, and JSON stays as it was stored: in ndjson as a part of the line, in csv as text,
in Parquet as its type JSON. In csv, null is nothing and a text without characters is "".

A file is there when it is complete; with --append it grows, and after an interruption, even a kill, the same command goes on with it: what comes out is
what one run would have written. A Parquet file is written by one run; the next writes another, --after the position that this one tells at its end.`
}

// Validate is called by kong. It refuses what does not go together.
func (v *exportVerb) Validate() error {
	isLog := v.Table == export.Log().Name
	switch {
	case !isLog && (v.After != 0 || v.Until != "" || v.Append):
		return errors.New("--after, --until and --append are for the log: the rows of a read model change")
	case v.Append && (v.Out == "" || v.Format == export.Parquet):
		return errors.New("--append needs --out, and the format ndjson or csv")
	case v.After < 0:
		return errors.New("--after must not be negative")
	case v.Until == "":
		return nil
	}
	n, err := strconv.ParseInt(v.Until, 10, 64)
	if v.until = eventstore.Position(n); err == nil && n > 0 {
		return nil
	}
	if v.time, err = time.Parse(time.RFC3339, v.Until); err != nil {
		return fmt.Errorf("--until must be a position or a time such as 2026-07-01T00:00:00Z, not %q", v.Until)
	}
	return nil
}

// Run exports.
func (v *exportVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	org, err := v.organisation(ctx, pool)
	if err != nil {
		return err
	}
	bar := &bar{}
	if v.Out != "" || !isTerminal(w.out) { // where it would stand among the rows
		bar = newBar(w.err, "export", "")
	}
	var said string
	if v.Table == export.Log().Name {
		said, err = v.log(ctx, pool, w, org, bar)
	} else {
		said, err = v.rows(ctx, pool, w, org, bar)
	}
	if bar.finish(); err != nil {
		return err
	}
	say := w.out
	if v.Out == "" {
		say = w.err
	}
	_, err = fmt.Fprintln(say, said)
	return err
}

// organisation returns the ID of the organisation that is wanted, "" for all.
func (v *exportVerb) organisation(ctx context.Context, pool *pgxpool.Pool) (domain.OrganisationID, error) {
	if v.Organisation == "" {
		return "", nil
	}
	org, ok, err := apikey.New(pool).Organisation(ctx, v.Organisation)
	if err == nil && !ok {
		err = fmt.Errorf("there is no organisation %q", v.Organisation)
	}
	return org.ID, err
}

// log exports the log, and returns what to say of it.
func (v *exportVerb) log(ctx context.Context, pool *pgxpool.Pool, w world, org domain.OrganisationID, bar *bar) (string, error) {
	until, err := v.end(ctx, pool)
	if err != nil {
		return "", err
	}
	span := export.Span{After: v.After, Until: until, Organisation: org}
	var file *export.File
	if v.Append {
		var at eventstore.Position
		if file, at, err = export.Continue(ctx, pool, v.Out, v.Format, span); err != nil {
			return "", err
		}
		span.After = max(at, span.After)
	}
	var rows int64
	err = v.write(w, file, export.Log(), func(out *export.Writer) error {
		rows, err = export.WriteLog(ctx, pool, out, span, func(at eventstore.Position) { bar.set(int64(at-v.After), int64(until-v.After)) })
		return err
	})
	return fmt.Sprintf("Exported %s of the log up to position %d. What follows comes with --after %[2]d.", counted(rows, "event"), max(span.After, until)), err
}

// end returns the position up to which the log is wanted, and is there.
func (v *exportVerb) end(ctx context.Context, pool *pgxpool.Pool) (eventstore.Position, error) {
	store := eventstore.New(pool, eventstore.NewRegistry[domain.Event](), eventstore.Options{})
	if !v.time.IsZero() {
		return store.PositionAt(ctx, v.time)
	}
	head, err := store.Head(ctx)
	if v.until > 0 {
		head = min(head, v.until)
	}
	return head, err
}

// rows exports a table of the read models, and returns what to say of it.
func (v *exportVerb) rows(ctx context.Context, pool *pgxpool.Pool, w world, org domain.OrganisationID, bar *bar) (said string, err error) {
	table, _ := export.TableNamed(v.Table) // one of those that the command line takes
	err = v.write(w, nil, table, func(out *export.Writer) error {
		rows, at, err := export.WriteTable(ctx, pool, out, table, org, bar.set)
		said = fmt.Sprintf("Exported %s of %s, which show the log up to position %d.", counted(rows, "row"), v.Table, at)
		return err
	})
	return said, err
}

// write has do write to where the rows are wanted: the rest of file, if there is one.
func (v *exportVerb) write(w world, file *export.File, table export.Table, do func(*export.Writer) error) (err error) {
	if file == nil && v.Out != "" {
		if file, err = export.Create(v.Out); err != nil {
			return err
		}
	}
	if file == nil {
		file = export.Stream(w.out)
	}
	defer file.Discard()
	out, err := file.Rows(v.Format, table)
	if err != nil {
		return err
	}
	if err := do(out); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return file.Keep()
}
