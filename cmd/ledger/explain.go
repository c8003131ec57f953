package main

import (
	"context"
	"fmt"
	"time"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// explainVerb is ledger explain.
type explainVerb struct {
	Company string `arg:"" help:"ID of the company, as the engine sends it."`
	Server  string `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey  string `required:"" name:"api-key" placeholder:"lnc_live_…" help:"API key of the organisation, with the scope deliveries:read."`
}

// Help says what is printed.
func (v *explainVerb) Help() string {
	return `Tells what happened to a company under all deliveries of the key's organisation, oldest first, a line for each event: its time
in UTC, its place in the log, its type, and a sentence.`
}

// Run prints all that is known of the company.
func (v *explainVerb) Run(ctx context.Context, w world) error {
	if err := checkServer(v.Server); err != nil {
		return err
	}
	ledger, err := newLedgerClient(v.Server, v.APIKey)
	if err != nil {
		return err
	}
	limit := 100
	params := &api.ExplainCompanyParams{Limit: &limit}
	for {
		page, err := ledger.ExplainCompanyWithResponse(ctx, v.Company, params)
		if err != nil {
			return fmt.Errorf("explain company %s: %w", v.Company, err)
		}
		for _, e := range page.JSON200.Items {
			if _, err := fmt.Fprintf(w.out, "%s %d %s %s\n", e.RecordedAt.UTC().Format(time.RFC3339), e.Position, e.Type, e.Sentence); err != nil {
				return err
			}
		}
		if params.Cursor = page.JSON200.NextCursor; params.Cursor == nil {
			return nil
		}
	}
}
