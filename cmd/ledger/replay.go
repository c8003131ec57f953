package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// replayVerb is ledger replay.
type replayVerb struct {
	Start    startReplayVerb   `cmd:"" help:"Have dispatches that have ended attempted again."`
	Backfill startBackfillVerb `cmd:"" help:"Dispatch companies to a destination that they were never owed to, such as a new one."`
	List     listReplaysVerb   `cmd:"" help:"List a delivery's replays and back-fills, newest first."`
	Show     showReplayVerb    `cmd:"" help:"Show how far a replay or back-fill is."`
	Cancel   cancelReplayVerb  `cmd:"" help:"End a replay or back-fill early. What it has asked for by then is attempted all the same."`
}

// Help says what jobs are.
func (v *replayVerb) Help() string {
	return `A replay or back-fill is a job of the ledger's, behind what is fresh and what is to be retried. It goes on by itself after a crash, and also when
this command ends. Of each a line is printed: its ID, kind and status, how many dispatches it has asked for, of how many that were
found, and when it was started and ended.`
}

// replayFlags say which ledger is asked, by whom, about which delivery.
type replayFlags struct {
	Delivery string `required:"" placeholder:"ID" help:"ID of the delivery."`
	Server   string `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey   string `required:"" name:"api-key" placeholder:"lnc_live_…" help:"API key with the scope deliveries:read and, to start or cancel, deliveries:write."`
}

// client returns a client of the ledger.
func (f replayFlags) client() (*api.ClientWithResponses, error) {
	if err := checkServer(f.Server); err != nil {
		return nil, err
	}
	return newLedgerClient(f.Server, f.APIKey)
}

// jobFlags say of which hand-overs a job is, and how it is begun.
type jobFlags struct {
	replayFlags
	Since  *time.Time `placeholder:"TIME" help:"Only companies handed over then or later, such as 2026-01-31T12:00:00Z."`
	Until  *time.Time `placeholder:"TIME" help:"Only companies handed over before."`
	DryRun bool       `help:"Only print how many dispatches a job would find. Nothing is recorded."`
	Follow bool       `help:"Show how far the job is until it has ended. An interrupt leaves it at work."`
}

// startReplayVerb is ledger replay start.
type startReplayVerb struct {
	jobFlags
	Status      string `enum:"any,delivered,failed,cancelled" default:"any" help:"Only dispatches that have ended so: delivered, failed or cancelled; or any."`
	Destination string `placeholder:"ID" help:"Only dispatches to this destination."`
	Company     string `placeholder:"ID" help:"Only dispatches of this company, by its ID as the engine sends it."`
}

// Run starts the replay, or counts what it would find.
func (v *startReplayVerb) Run(ctx context.Context, w world) error {
	ledger, err := v.client()
	if err != nil {
		return err
	}
	asked := api.NewReplay{Since: v.Since, Until: v.Until, DryRun: &v.DryRun, Destination: unlessEmpty(v.Destination), CompanyID: unlessEmpty(v.Company)}
	if v.Status != "any" {
		asked.Status = new(api.NewReplayStatus(v.Status))
	}
	answer, err := ledger.StartReplayWithResponse(ctx, v.Delivery, nil, asked)
	if err != nil {
		return fmt.Errorf("start replay of %s: %w", v.Delivery, err)
	}
	return v.begun(ctx, w, ledger, answer.JSON200, answer.JSON202)
}

// startBackfillVerb is ledger replay backfill.
type startBackfillVerb struct {
	jobFlags
	Destination string `required:"" placeholder:"ID" help:"ID of the destination that is to get the companies."`
}

// Run starts the back-fill, or counts what it would find.
func (v *startBackfillVerb) Run(ctx context.Context, w world) error {
	ledger, err := v.client()
	if err != nil {
		return err
	}
	answer, err := ledger.StartBackfillWithResponse(ctx, v.Delivery, v.Destination, nil, api.NewBackfill{Since: v.Since, Until: v.Until, DryRun: &v.DryRun})
	if err != nil {
		return fmt.Errorf("start back-fill of %s: %w", v.Destination, err)
	}
	return v.begun(ctx, w, ledger, answer.JSON200, answer.JSON202)
}

// unlessEmpty returns a pointer to a flag's text, nil when it was not given.
func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// begun prints what a dry run counted, or the job that was begun, once it has ended if it is followed.
func (f jobFlags) begun(ctx context.Context, w world, ledger *api.ClientWithResponses, count *api.ReplayCount, job *api.Replay) error {
	if count != nil {
		_, err := fmt.Fprintln(w.out, count.Count)
		return err
	}
	if f.Follow {
		return f.follow(ctx, w, ledger, job)
	}
	return printReplays(w.out, *job)
}

// followEvery is how often it is asked how far a job is.
const followEvery = 2 * time.Second

// follow shows how far a job is until it has ended, and prints it then.
func (f replayFlags) follow(ctx context.Context, w world, ledger *api.ClientWithResponses, job *api.Replay) error {
	fmt.Fprintf(w.err, "%s %s was started.\n", job.Kind, job.ID)
	bar := newTalkingBar(w.err, string(job.Kind), "dispatches")
	defer bar.finish()
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		bar.set(job.Replayed, job.Count)
		if job.Status != api.ReplayStatusRunning {
			bar.finish()
			return printReplays(w.out, *job)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("follow %s %s, which goes on: %w", job.Kind, job.ID, ctx.Err())
		}
		answer, err := ledger.ReadReplayWithResponse(ctx, f.Delivery, job.ID, nil)
		if err != nil {
			return fmt.Errorf("follow %s %s, which goes on: %w", job.Kind, job.ID, err)
		}
		job = answer.JSON200
	}
}

// listReplaysVerb is ledger replay list.
type listReplaysVerb struct{ replayFlags }

// Run lists the delivery's jobs.
func (v *listReplaysVerb) Run(ctx context.Context, w world) error {
	ledger, err := v.client()
	if err != nil {
		return err
	}
	var jobs []api.Replay
	params := &api.ListReplaysParams{Limit: new(100)}
	for {
		page, err := ledger.ListReplaysWithResponse(ctx, v.Delivery, params)
		if err != nil {
			return fmt.Errorf("list replays of %s: %w", v.Delivery, err)
		}
		jobs = append(jobs, page.JSON200.Items...)
		if params.Cursor = page.JSON200.NextCursor; params.Cursor == nil {
			return printReplays(w.out, jobs...)
		}
	}
}

// showReplayVerb is ledger replay show.
type showReplayVerb struct {
	replayFlags
	Replay string `arg:"" help:"ID of the replay or back-fill."`
	Follow bool   `help:"Show how far it is until it has ended."`
}

// Run shows the job.
func (v *showReplayVerb) Run(ctx context.Context, w world) error {
	ledger, err := v.client()
	if err != nil {
		return err
	}
	answer, err := ledger.ReadReplayWithResponse(ctx, v.Delivery, v.Replay, nil)
	switch {
	case err != nil:
		return fmt.Errorf("show replay %s: %w", v.Replay, err)
	case v.Follow:
		return v.follow(ctx, w, ledger, answer.JSON200)
	}
	return printReplays(w.out, *answer.JSON200)
}

// cancelReplayVerb is ledger replay cancel.
type cancelReplayVerb struct {
	replayFlags
	Replay string `arg:"" help:"ID of the replay or back-fill."`
}

// Run ends the job.
func (v *cancelReplayVerb) Run(ctx context.Context, w world) error {
	ledger, err := v.client()
	if err != nil {
		return err
	}
	answer, err := ledger.CancelReplayWithResponse(ctx, v.Delivery, v.Replay, nil)
	if err != nil {
		return fmt.Errorf("cancel replay %s: %w", v.Replay, err)
	}
	return printReplays(w.out, *answer.JSON200)
}

// printReplays prints a table of jobs.
func printReplays(w io.Writer, jobs ...api.Replay) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tSTATUS\tDISPATCHES\tOF\tSTARTED\tENDED")
	for _, job := range jobs {
		ended := ""
		if job.EndedAt != nil {
			ended = job.EndedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", job.ID, job.Kind, job.Status, job.Replayed, job.Count, job.StartedAt.UTC().Format(time.RFC3339), ended)
	}
	return table.Flush()
}
