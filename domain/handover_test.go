package domain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// qualification returns one that is accepted.
func qualification() domain.Qualification {
	return domain.Qualification{
		Company:      json.RawMessage(`{"id": "comp_xyz789", "name": "Acme Corp", "size": "50-200"}`),
		Prospects:    json.RawMessage(`[{"id": "pros_456def", "first_name": "Jane"}]`),
		Score:        new(85),
		MatchReasons: []string{"Uses HubSpot", "Revenue > $10M"},
	}
}

// qualify returns the command that hands the company over, and the event it adds.
func qualify() (domain.QualifyCompany, domain.CompanyQualified) {
	q := qualification()
	command := domain.QualifyCompany{
		ID:            "del_1",
		Delivery:      domain.Delivery{ID: dcf, Organisation: acme, Status: domain.Active, Schedule: domain.Immediate, Search: search},
		CompanyID:     "comp_xyz789",
		Qualification: q,
	}
	return command, domain.CompanyQualified{
		HandOver: "del_1", Organisation: acme, Delivery: dcf, Search: search, CompanyID: "comp_xyz789",
		Company: q.Company, Prospects: q.Prospects, Score: 85, MatchReasons: q.MatchReasons,
	}
}

func TestQualifyCompany(t *testing.T) {
	t.Parallel()

	t.Run("a company is handed over as it was sent", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		When(t, Given(), command).Then(qualified)
	})
	t.Run("a second qualification adds nothing", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		command.ID, command.Qualification.Score = "del_2", new(100)
		When(t, Given(qualified), command).Then()
	})
	t.Run("a paused delivery records companies", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		command.Delivery.Status = domain.Paused
		When(t, Given(), command).Then(qualified)
	})
	t.Run("no prospects are an empty list", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		command.Qualification.Prospects, qualified.Prospects = nil, json.RawMessage("[]")
		When(t, Given(), command).Then(qualified)
	})
	t.Run("no match reasons are an empty list", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		command.Qualification.MatchReasons, qualified.MatchReasons = nil, []string{}
		When(t, Given(), command).Then(qualified)
		require.Contains(t, encode(t, qualified), `"match_reasons":[]`)
	})
	t.Run("every byte of the company is kept", func(t *testing.T) {
		t.Parallel()
		command, qualified := qualify()
		const company = `{ "name":"M\u00fcller <\u0026> S\u00f6hne" ,"id":"comp_xyz789",` + "\n\t" +
			`"revenue":1.50e7,"big":12345678901234567890, "\u0000":null,"name":"Müller & Söhne" }`
		command.Qualification.Company, qualified.Company = json.RawMessage(company), json.RawMessage(company)
		When(t, Given(), command).Then(qualified)
	})
}

func TestWhatIsHandedOverComesDueAsTheDeliverySays(t *testing.T) {
	t.Parallel()
	for schedule, due := range map[domain.Schedule]*time.Time{ // on Wednesday, 4 March 2026, 9:30
		domain.Immediate: nil,
		domain.Hourly:    new(time.Date(2026, time.March, 4, 10, 0, 0, 0, time.UTC)),
		domain.Daily:     new(time.Date(2026, time.March, 5, 0, 0, 0, 0, time.UTC)),
		domain.Weekly:    new(time.Date(2026, time.March, 9, 0, 0, 0, 0, time.UTC)),
	} {
		command, qualified := qualify()
		command.Delivery.Schedule, qualified.Due = schedule, due
		When(t, Given(), command).Then(qualified)
	}
}

func TestHandOverIsOneForACompanyUnderADelivery(t *testing.T) {
	t.Parallel()
	command, qualified := qualify()
	require.Equal(t, "handover/dcf_1/comp_xyz789", command.Stream())
	require.NotEqual(t, domain.HandOverStream("dcf_1", "comp_1"), domain.HandOverStream("dcf_2", "comp_1"))
	require.NotEqual(t, domain.HandOverStream("dcf_1", "comp_1"), domain.HandOverStream("dcf_1", "comp_2"))
	require.NotEqual(t, domain.HandOverStream("dcf_1", "a/b"), domain.HandOverStream("dcf_1", "b"))
	require.Equal(t, domain.HandOver{ID: "del_1", Company: "comp_xyz789"}, Fold[domain.HandOver](t, Given(qualified)))
}

func TestCheckOfAQualification(t *testing.T) {
	t.Parallel()
	type spoil = func(*domain.Qualification)
	company := func(raw string) spoil { return func(q *domain.Qualification) { q.Company = json.RawMessage(raw) } }
	prospects := func(raw string) spoil { return func(q *domain.Qualification) { q.Prospects = json.RawMessage(raw) } }
	score := func(n int) spoil { return func(q *domain.Qualification) { q.Score = new(n) } }
	reasons := func(r ...string) spoil { return func(q *domain.Qualification) { q.MatchReasons = r } }

	for name, c := range map[string]struct {
		spoil  spoil
		faults []string // none: it is accepted
	}{
		"as sent":                {func(*domain.Qualification) {}, nil},
		"nothing at all":         {func(q *domain.Qualification) { *q = domain.Qualification{} }, []string{"company", "qualification_score"}},
		"all at once":            {all(company(`{"id":"a b"}`), prospects(`{}`), score(101), reasons("")), []string{"company.id", "company.name", "prospects", "qualification_score", "match_reasons.0"}},
		"company is a list":      {company(`[]`), []string{"company"}},
		"company is null":        {company(`null`), []string{"company"}},
		"company is text":        {company(`"comp_1"`), []string{"company"}},
		"company is cut off":     {company(`{"id":"comp_1","name":"Acme"`), []string{"company"}},
		"company and more":       {company(`{"id":"comp_1","name":"Acme"}{}`), []string{"company"}},
		"company not UTF-8":      {company("{\"id\":\"comp_1\",\"name\":\"Acme\",\"city\":\"Z\xfcrich\"}"), []string{"company"}},
		"company of nothing":     {company(`{}`), []string{"company.id", "company.name"}},
		"id is null":             {company(`{"id":null,"name":"Acme"}`), []string{"company.id"}},
		"id is empty":            {company(`{"id":"","name":"Acme"}`), []string{"company.id"}},
		"id is a number":         {company(`{"id":7,"name":"Acme"}`), []string{"company.id"}},
		"id in capitals":         {company(`{"ID":"comp_1","name":"Acme"}`), []string{"company.ID", "company.id"}},
		"id in two cases":        {company(`{"id":"comp_1","Id":"comp_2","name":"Acme"}`), []string{"company.Id"}},
		"name in two cases":      {company(`{"id":"comp_1","NAME":"Acme","name":"Acme"}`), []string{"company.NAME"}},
		"name is a list":         {company(`{"id":"comp_1","name":["Acme"]}`), []string{"company.name"}},
		"id has a blank":         {company(`{"id":"comp 1","name":"Acme"}`), []string{"company.id"}},
		"id ends in a line":      {company(`{"id":"comp_1\n","name":"Acme"}`), []string{"company.id"}},
		"id has a wide blank":    {company(`{"id":"comp\u30001","name":"Acme"}`), []string{"company.id"}},
		"id has a nul":           {company(`{"id":"comp\u0000","name":"Acme"}`), []string{"company.id"}},
		"id is a UUID":           {company(`{"id":"0197f5e2-8d3b-7c41-b3f1-8f3e7c2a9d10","name":"Acme"}`), nil},
		"longest id":             {company(`{"id":"` + strings.Repeat("ü", 200) + `","name":"Acme"}`), nil},
		"id too long":            {company(`{"id":"` + strings.Repeat("x", 201) + `","name":"Acme"}`), []string{"company.id"}},
		"name is absent":         {company(`{"id":"comp_1"}`), []string{"company.name"}},
		"name too long":          {company(`{"id":"comp_1","name":"` + strings.Repeat("x", 201) + `"}`), []string{"company.name"}},
		"name of two lines":      {company(`{"id":"comp_1","name":"Acme\nCorp"}`), []string{"company.name"}},
		"no prospects":           {prospects(""), nil},
		"empty prospects":        {prospects(`[]`), nil},
		"most prospects":         {prospects(list(1000)), nil},
		"too many prospects":     {prospects(list(1001)), []string{"prospects"}},
		"prospects not a list":   {prospects(`{"id":"pros_1"}`), []string{"prospects"}},
		"prospects null":         {prospects(`null`), nil},
		"prospects not UTF-8":    {prospects("[{\"id\":\"pros_1\",\"name\":\"J\xf6rg\"}]"), []string{"prospects"}},
		"prospects not objects":  {prospects(`["pros_1"]`), []string{"prospects"}},
		"a prospect is null":     {prospects(`[null]`), []string{"prospects.0.id"}},
		"a prospect of no id":    {prospects(`[{"id":"pros_1"},{"email":"a@b"}]`), []string{"prospects.1.id"}},
		"prospects' ids, spaced": {prospects(`[{"id":"pros 1"},{"id":"pros_2"},{"id":"pros\t3"}]`), []string{"prospects.0.id", "prospects.2.id"}},
		"no score":               {func(q *domain.Qualification) { q.Score = nil }, []string{"qualification_score"}},
		"lowest score":           {score(0), nil},
		"highest score":          {score(100), nil},
		"score too low":          {score(-1), []string{"qualification_score"}},
		"score too high":         {score(101), []string{"qualification_score"}},
		"no reasons":             {reasons(), nil},
		"most reasons":           {reasons(repeat("x", 100)...), nil},
		"too many reasons":       {reasons(repeat("x", 101)...), []string{"match_reasons"}},
		"longest reason":         {reasons(strings.Repeat("ü", 500)), nil},
		"reason too long":        {reasons("x", strings.Repeat("ü", 501)), []string{"match_reasons.1"}},
		"reason empty":           {reasons("", "x", ""), []string{"match_reasons.0", "match_reasons.2"}},
		"reason of two lines":    {reasons("a\nb"), []string{"match_reasons.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := qualification()
			c.spoil(&q)
			id, err := q.Check()
			if c.faults == nil {
				require.NoError(t, err)
				require.NotEmpty(t, id)
				return
			}
			Faults(t, err, c.faults...)
		})
	}
}

// What Check accepts can be stored, and reads back as it was.
func FuzzQualification(f *testing.F) {
	f.Add([]byte(`{"id":"comp_xyz789","name":"Acme Corp","technologies":["HubSpot"]}`), []byte(`[{"id":"pros_456def"}]`), 85, "Uses HubSpot")
	f.Add([]byte(`{"id":"comp_1","name":"\ud800","n":1e999}`), []byte(``), 0, "Revenue > $10M")
	f.Add([]byte(`{"ID":"comp_1","Name":"Acme"}`), []byte(`[null]`), 100, "\u2028")
	f.Add([]byte("{\"id\":\"\xff\",\"name\":\"x\"}"), []byte(`[]`), -1, "\xff")
	f.Add([]byte(` {"id":" "}`), []byte(` [`), 101, "")
	f.Fuzz(func(t *testing.T, company, prospects []byte, score int, reason string) {
		q := domain.Qualification{Company: company, Prospects: prospects, Score: &score, MatchReasons: []string{reason}}
		id, err := q.Check()
		if err != nil {
			require.Equal(t, domain.Invalid, domain.KindOf(err))
			return
		}
		command, _ := qualify()
		command.CompanyID, command.Qualification = id, q
		events, err := command.Decide(domain.HandOver{}, Now())
		require.NoError(t, err)
		require.Len(t, events, 1)
		stored := encode(t, events[0])
		read := decode(t, domain.CompanyQualified{}, []byte(stored))
		require.Equal(t, stored, encode(t, read))
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, company))
		require.Equal(t, compact.String(), string(read.Company))
	})
}

// all returns what does all of f.
func all(f ...func(*domain.Qualification)) func(*domain.Qualification) {
	return func(q *domain.Qualification) {
		for _, f := range f {
			f(q)
		}
	}
}

// list returns n prospects.
func list(n int) string {
	prospects := make([]string, n)
	for i := range prospects {
		prospects[i] = fmt.Sprintf(`{"id":"pros_%d"}`, i)
	}
	return "[" + strings.Join(prospects, ",") + "]"
}

// repeat returns n times s.
func repeat(s string, n int) []string {
	return strings.Split(strings.Repeat(s+" ", n-1)+s, " ")
}

func TestPushesAreOwedSinceTheyCameDue(t *testing.T) {
	t.Parallel()
	at, due := Now(), Now().Add(time.Hour)
	require.Equal(t, at, domain.CompanyQualified{}.OwedSince(at))
	require.Equal(t, due, domain.CompanyQualified{Due: &due}.OwedSince(at))
}
