package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/openprospect/delivery-ledger/domain"
)

// eventsVerb is ledger events.
type eventsVerb struct {
	List   listEventsVerb   `cmd:"" help:"List the types of events, and the versions of their data."`
	Schema schemaEventsVerb `cmd:"" help:"Print the JSON Schema of a type of event."`
}

// listEventsVerb is ledger events list.
type listEventsVerb struct{}

// Run prints the list.
func (v *listEventsVerb) Run(w world) error {
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TYPE\tVERSION\tRECORDED NOW\tWHAT IT SAYS")
	for _, s := range domain.Schemas() {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", s.Type, s.Version, map[bool]string{true: "yes", false: "no"}[s.Current], s.Description)
	}
	return table.Flush()
}

// schemaEventsVerb is ledger events schema.
type schemaEventsVerb struct {
	Type    string `arg:"" help:"Type of event, such as company.qualified."`
	Version int    `placeholder:"N" help:"Version of the data, which events name as schema_version. Default: the current one."`
}

// Help says what the schema is good for.
func (v *schemaEventsVerb) Help() string {
	return `Prints what the data of such an event is, in the audit trail, in proofs and in exports of the log, as JSON Schema (draft 2020-12). What was
recorded under a version fits its schema for ever; schemas only gain fields that may be absent. The API gives the same at /api/v1/event-types.`
}

// Run prints the schema.
func (v *schemaEventsVerb) Run(w world) error {
	versions := domain.SchemasOf(v.Type)
	switch {
	case len(versions) == 0:
		var known []string
		for _, event := range domain.Events() {
			known = append(known, event.EventType())
		}
		return fmt.Errorf("there is no type of event %s; there are %s", v.Type, strings.Join(known, ", "))
	case v.Version == 0:
		v.Version = len(versions)
	case v.Version < 0 || v.Version > len(versions):
		return fmt.Errorf("%s has no version %d; the last is %d", v.Type, v.Version, len(versions))
	}
	_, err := w.out.Write(versions[v.Version-1].Document)
	return err
}
