package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// ingestVerb is ledger ingest.
type ingestVerb struct {
	File       string   `arg:"" help:"NDJSON, a qualified company a line, as POST …/qualifications takes them, or what --faults wrote; or CSV; packed by gzip or not; - for standard input."`
	Format     string   `default:"auto" enum:"auto,ndjson,csv" help:"What the file contains: ndjson, csv, or, with auto, csv if it is named .csv or .csv.gz."`
	Map        []string `placeholder:"FIELD[:TYPE]=COLUMN" help:"Which field comes from which column of a CSV file, by its header."`
	Delivery   string   `required:"" placeholder:"ID" help:"ID of the delivery, or of the prospect search, under which to hand the companies over."`
	Server     string   `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey     string   `required:"" name:"api-key" placeholder:"lnc_live_…" help:"API key with the scope qualifications:write."`
	Candidates bool     `help:"The companies are candidates, to be judged by the delivery's rules, as POST …/candidates takes them. The API key needs the scope candidates:write."`
	Chunk      int      `default:"500" help:"Companies in a request, which has no more than some 4 MiB of them whatever this says."`
	Faults     string   `placeholder:"FILE" help:"Write what is rejected to this file, which is made anew, instead of telling it: NDJSON with the line, its faults by field, and the line as it was."`
	Quiet      bool     `help:"Show no progress."`
}

// Help says what a repeat does.
func (v *ingestVerb) Help() string {
	return `A company is handed over once per delivery however often it is sent, so an ingest that was interrupted, even by kill -9, is simply
run again: what the ledger has already counts as duplicate. Of a file, nothing that was answered is sent again: beside it, at FILE.ingest,
lies how far it has come, until it is through. The same command goes on from there, with the sums and faults of before, if the file up to
there is still the same; else all of it is sent.

While the ledger is unavailable, or the key's requests are used up, the ingest waits, as long as Retry-After says. A line that is not
acceptable is reported with its number and harms no other. The file that --faults wrote can be mended, in "input" or "csv", and ingested in its turn.

A CSV file is UTF-8, begins with a header, and has a comma, semicolon or tab between cells. A column whose name is a field needs no --map:
company.id, company.name, qualification_score (--candidates: none), match_reasons, prospect.id, and whatever else there is below company,
prospect and (--candidates) attributes. A type stands behind the field, in --map as in the header: company.employees:number, :boolean (true,
yes, 1), :list (with ; between) or :list(|); else it is text. Empty cells are left out. A row has one prospect or none; adjacent rows with the same
company.id are one company, and must agree in all but the prospect. Columns of no field are named and not sent. A file with a quote
out of place, or not in UTF-8, is sent up to there: mend it and run the same command.

The exit code is 0 when every line was taken, 1 when some were rejected or the ingest failed.`
}

// Run sends the file.
func (v *ingestVerb) Run(ctx context.Context, w world) error {
	if err := checkServer(v.Server); err != nil {
		return err
	}
	if err := v.checkFaults(); err != nil {
		return err
	}
	ledger, err := newLedgerClient(v.Server, v.APIKey)
	if err != nil {
		return err
	}
	n, err := v.begin(w)
	if err != nil {
		return err
	}
	err = errors.Join(n.send(ctx, ledger), n.close())
	if v.Candidates && n.mark.Sums.Disqualified == 0 {
		fmt.Fprint(w.out, "0 disqualified, ")
	}
	fmt.Fprintln(w.out, n.mark.Sums)
	if err == nil && n.mark.Sums.Rejected > 0 {
		err = fmt.Errorf("%d lines were rejected", n.mark.Sums.Rejected)
	}
	return err
}

// checkServer returns an error unless server is the address of one.
func checkServer(server string) error {
	if u, err := url.Parse(server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--server must be an address such as http://127.0.0.1:8080: %q is none", server)
	}
	return nil
}

// checkFaults returns an error if the file for faults is the one to ingest.
func (v *ingestVerb) checkFaults() error {
	from, err1 := os.Stat(v.File)
	to, err2 := os.Stat(v.Faults)
	if err1 == nil && err2 == nil && os.SameFile(from, to) {
		return errors.New("--faults must be another file than the one to ingest")
	}
	return nil
}

// told returns what an ingest is told to do, which a bookmark belongs to.
func (v *ingestVerb) told() []string {
	return []string{v.Server, v.Delivery, strconv.FormatBool(v.Candidates), v.Faults, v.Format, strings.Join(v.Map, "\n")}
}

// open opens the file and returns what reads its records.
func (v *ingestVerb) open(w world) (*input, recordReader, error) {
	m, err := parseMapping(v.Map)
	if err != nil {
		return nil, nil, err
	}
	in, err := openInput(v.File, w.in)
	if err != nil {
		return nil, nil, err
	}
	if !v.rows() {
		return in, &ndjsonReader{in: in, mapping: m, candidates: v.Candidates}, nil
	}
	r, err := newCSVReader(in, m, v.Candidates)
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return in, r, nil
}

// rows reports whether the file is CSV.
func (v *ingestVerb) rows() bool {
	name := strings.TrimSuffix(strings.ToLower(v.File), ".gz")
	return v.Format == "csv" || v.Format == "auto" && strings.HasSuffix(name, ".csv")
}
