package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// keysVerb is ledger keys.
type keysVerb struct {
	Create createKeyVerb `cmd:"" help:"Create a key, and its organisation if there is none of that name. The key is printed once."`
	List   listKeysVerb  `cmd:"" help:"List an organisation's keys."`
	Expire expireKeyVerb `cmd:"" help:"Say when a key ends: now, in a while, or never. Processes notice within a second."`
	Revoke revokeKeyVerb `cmd:"" help:"Revoke a key. Processes notice within a second."`
}

// createKeyVerb is ledger keys create.
type createKeyVerb struct {
	databaseFlags
	Organisation string         `required:"" placeholder:"NAME" help:"Name or ID of the organisation for which the key acts."`
	Name         string         `default:"default" help:"What the key is for."`
	Scopes       []apikey.Scope `default:"deliveries:read,deliveries:write,companies:read,prospects:read,prospect_searches:read" placeholder:"SCOPE" help:"What the key may do. Default: deliveries:read, deliveries:write, companies:read, prospects:read and prospect_searches:read, which is what a customer needs. The engine's keys need candidates:write and qualifications:write. admin is for keys; all stands for all scopes."`
	ExpiresIn    time.Duration  `help:"How long the key is good, such as 720h. Default: for ever."`
	Tier         apikey.Tier    `enum:"free,pro,enterprise" default:"enterprise" help:"How many requests an hour the key has: free 100, pro 1000, enterprise what --limit-per-hour says."`
	LimitPerHour int64          `placeholder:"N" help:"Requests an hour of a key of the tier enterprise. Default: any number."`
	Test         bool           `help:"Make an lnc_test_ key."`
}

// Run creates the key.
func (v *createKeyVerb) Run(ctx context.Context, w world) error {
	n, err := v.newKey(time.Now())
	if err != nil {
		return err
	}
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	keys := apikey.New(pool)
	org, err := findOrCreate(ctx, keys, v.Organisation)
	if err != nil {
		return err
	}
	n.Organisation = org.ID
	key, text, err := keys.Create(ctx, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(w.err, "Key %s of %s (%s). It is shown this once:\n", key.ID, org.Name, org.ID)
	_, err = fmt.Fprintln(w.out, text)
	return err
}

// newKey returns the key that the flags ask for, of no organisation yet.
func (v *createKeyVerb) newKey(now time.Time) (apikey.NewKey, error) {
	n := apikey.NewKey{Name: v.Name, Scopes: v.Scopes, Tier: v.Tier, Test: v.Test}
	if slices.Contains(n.Scopes, "all") {
		n.Scopes = apikey.Scopes()
	}
	for _, s := range n.Scopes {
		if !s.Known() {
			return n, fmt.Errorf("--scopes: there is no scope %q; there are %s, and all", s, scopeList(apikey.Scopes()))
		}
	}
	switch {
	case v.ExpiresIn < 0:
		return n, fmt.Errorf("--expires-in must not be negative: %s is", v.ExpiresIn)
	case v.ExpiresIn > 0:
		at := now.Add(v.ExpiresIn)
		n.ExpiresAt = &at
	}
	switch {
	case v.LimitPerHour < 0:
		return n, fmt.Errorf("--limit-per-hour must not be negative: %d is", v.LimitPerHour)
	case v.LimitPerHour > 0 && v.Tier != apikey.Enterprise:
		return n, fmt.Errorf("--limit-per-hour goes with --tier enterprise: %s has a limit already", v.Tier)
	case v.LimitPerHour > 0:
		n.LimitPerHour = &v.LimitPerHour
	}
	return n, nil
}

// findOrCreate returns the organisation of that name or ID, a new one if there is none.
func findOrCreate(ctx context.Context, keys *apikey.Keys, nameOrID string) (apikey.Organisation, error) {
	org, ok, err := keys.Organisation(ctx, nameOrID)
	if err != nil || ok {
		return org, err
	}
	return keys.CreateOrganisation(ctx, nameOrID)
}

// listKeysVerb is ledger keys list.
type listKeysVerb struct {
	databaseFlags
	Organisation string `required:"" placeholder:"NAME" help:"Name or ID of the organisation."`
}

// Run prints the organisation's keys.
func (v *listKeysVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	keys := apikey.New(pool)
	org, ok, err := keys.Organisation(ctx, v.Organisation)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no organisation %q", v.Organisation)
	}
	list, err := keys.List(ctx, org.ID)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKEY\tNAME\tSTATE\tCREATED\tEXPIRES\tTIER\tPER HOUR\tSCOPES")
	for _, k := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Hint, k.Name, keyState(k, time.Now()),
			k.CreatedAt.UTC().Format(time.RFC3339), expiry(k), k.Tier, perHour(k), scopeList(k.Scopes))
	}
	return table.Flush()
}

// perHour says how many requests an hour a key has.
func perHour(k apikey.Key) string {
	if limit, limited := k.Limit(); limited {
		return strconv.FormatInt(limit, 10)
	}
	return "any"
}

// keyState says whether a key is good.
func keyState(k apikey.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !k.Active(now):
		return "expired"
	default:
		return "active"
	}
}

// scopeList returns scopes as the flag takes them.
func scopeList(scopes []apikey.Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = string(s)
	}
	return strings.Join(texts, ",")
}

// expireKeyVerb is ledger keys expire.
type expireKeyVerb struct {
	databaseFlags
	ID    string        `arg:"" help:"ID of the key (key_…)."`
	In    time.Duration `help:"How long the key is still good, such as 720h. Default: it ends now."`
	Never bool          `help:"Take the expiry away."`
}

// Run sets when the key ends.
func (v *expireKeyVerb) Run(ctx context.Context, w world) error {
	if v.In < 0 || v.Never && v.In != 0 {
		return errors.New("--in must not be negative, and does not go with --never")
	}
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	at := time.Now().Add(v.In)
	key, found, err := apikey.New(pool).Change(ctx, v.ID, apikey.Change{ExpiresAt: &at, NeverExpires: v.Never})
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("there is no key %s that is not revoked", v.ID)
	}
	_, err = fmt.Fprintln(w.out, key.ID, "expires:", expiry(key))
	return err
}

// expiry says when a key ends.
func expiry(k apikey.Key) string {
	if k.ExpiresAt == nil {
		return "never"
	}
	return k.ExpiresAt.UTC().Format(time.RFC3339)
}

// revokeKeyVerb is ledger keys revoke.
type revokeKeyVerb struct {
	databaseFlags
	ID string `arg:"" help:"ID of the key (key_…)."`
}

// Run revokes the key.
func (v *revokeKeyVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	found, err := apikey.New(pool).Revoke(ctx, v.ID)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no active key %s", v.ID)
	}
	_, err = fmt.Fprintln(w.out, "Revoked", v.ID)
	return err
}
