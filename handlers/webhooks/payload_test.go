package webhooks_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// sample is the payload that customers were promised.
const sample = `{
  "event": "delivery.company_qualified",
  "delivery_id": "del_123abc",
  "timestamp": "2025-11-30T12:00:00Z",
  "data": {
    "company": {
      "id": "comp_xyz789",
      "name": "Acme Corp",
      "domain": "acme.com",
      "industry": "Software",
      "size": "50-200",
      "location": "San Francisco, CA",
      "linkedin_url": "https://linkedin.com/company/acme-corp",
      "technologies": ["HubSpot", "AWS", "React"]
    },
    "prospects": [
      {
        "id": "pros_456def",
        "first_name": "Jane",
        "last_name": "Doe",
        "title": "CTO",
        "email": "jane.doe@acme.com",
        "linkedin_url": "https://linkedin.com/in/janedoe"
      }
    ],
    "qualification_score": 85,
    "match_reasons": [
      "Uses HubSpot",
      "Revenue > $10M",
      "Decision Maker found"
    ]
  }
}`

// qualifySample hands over the sample's company, with q changed by change.
func qualifySample(t *testing.T, b *bundle, d domain.Delivery, change func(*domain.Qualification)) eventstore.Outcome[domain.HandOver] {
	t.Helper()
	var promised struct {
		Data domain.Qualification `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(sample), &promised))
	q := promised.Data
	if change != nil {
		change(&q)
	}
	company, err := q.Check()
	require.NoError(t, err)
	return execute(t, b, domain.QualifyCompany{ID: domain.NewHandOverID(), Delivery: d, CompanyID: company, Qualification: q})
}

func TestPayloadHasTheSamplesFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	qualified := qualifySample(t, b, d, nil)
	got := r.await(t, 1)[0]

	var want, body map[string]any
	require.NoError(t, json.Unmarshal([]byte(sample), &want))
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))
	require.Equal(t, string(d.ID), body["delivery_configuration_id"])
	delete(body, "delivery_configuration_id") // our only addition
	want["delivery_id"] = string(qualified.State.ID)
	want["timestamp"] = qualified.Commit.RecordedAt.UTC().Truncate(time.Second).Format(time.RFC3339)
	require.Equal(t, want, body)
	require.Regexp(t, `"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`, got.body)
}

func TestWhatTheEngineSentGoesOutAsItWasSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	const (
		company  = `{"name":"Söhne & <Co>","id":"comp_1","revenue":12345678901234567890,"growth":1.10,"funding":null,"a":{"z":1,"b":[]},"sep":"` + "\u2028" + `"}`
		prospect = `[{"id":"pros_1","score":0.50,"Title":"CTO"},{"Title":"CEO","id":"pros_2"}]`
	)
	qualifySample(t, b, d, func(q *domain.Qualification) {
		q.Company, q.Prospects = json.RawMessage(company), json.RawMessage(prospect)
	})
	body := r.await(t, 1)[0].body
	require.Contains(t, body, `"company":`+company)
	require.Contains(t, body, `"prospects":`+prospect)
	require.Contains(t, body, `"Revenue > $10M"`)
}

func TestPayloadWithoutProspectsOrReasonsHasEmptyLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	qualifySample(t, b, d, func(q *domain.Qualification) { q.Prospects, q.MatchReasons = nil, nil })
	body := r.await(t, 1)[0].body
	require.Contains(t, body, `"prospects":[]`)
	require.Contains(t, body, `"match_reasons":[]`)
}

func TestEveryAttemptSendsTheSameBodyUnderTheSameID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(3, http.StatusBadGateway))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]
	got := r.await(t, 4)
	for i, g := range got {
		require.Equal(t, domain.DispatchIDFor(handOver, dst.ID), g.id())
		require.Equal(t, got[0].body, g.body)
		require.Equal(t, []string{strconv.Itoa(i + 1)}, g.header["Ledger-Attempt"])
	}
}

func TestHeadersSayWhatIsSentByWhomAndWhichAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	dst.AuthType, dst.AuthSecret = domain.AuthBearer, b.secret(t, "your-secret-token")
	dst.Headers = map[string]string{"X-Team": "7", "x-source": "leads"}
	other := destination(r.URL)
	d := b.delivery(t, dst, other)
	b.work(t)
	b.qualify(t, d, "comp_1")

	traces, spans := map[string]bool{}, map[string]bool{}
	for _, g := range r.await(t, 4) {
		require.Equal(t, "application/json", g.header.Get("Content-Type"))
		require.Equal(t, "OpenProspect-Ledger/test", g.header.Get("User-Agent"))
		require.Equal(t, "1", g.header.Get("Ledger-Sequence"))
		sent, err := time.ParseDuration(g.header.Get("Webhook-Timestamp") + "s")
		require.NoError(t, err)
		require.WithinDuration(t, g.at, time.Unix(int64(sent.Seconds()), 0), soon)
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, g.header.Get("Traceparent"))
		parts := strings.Split(g.header.Get("Traceparent"), "-")
		traces[parts[1]], spans[parts[2]] = true, true
		if g.header.Get("X-Team") == "" {
			require.Empty(t, g.header.Get("Authorization"))
			continue
		}
		require.Equal(t, []string{"Bearer your-secret-token"}, g.header["Authorization"])
		require.Equal(t, "leads", g.header.Get("X-Source"))
		require.Empty(t, g.header.Get("Webhook-Signature"))
	}
	require.Len(t, traces, 1, "a hand-over is one trace")
	require.Len(t, spans, 4, "an attempt is a span")
}

func TestSignatureVerifiesByStandardWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	dst.SigningSecret = b.secret(t, secret)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")

	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	stranger, err := standardwebhooks.NewWebhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	require.NoError(t, err)
	for _, g := range r.await(t, 2) {
		require.NoError(t, verifier.Verify([]byte(g.body), g.header))
		require.Error(t, verifier.Verify([]byte(g.body+" "), g.header))
		require.Error(t, stranger.Verify([]byte(g.body), g.header))
	}
}

func TestSequenceIsDenseForEachDestination(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := newReceiver(t, ok), newReceiver(t, failing(1, http.StatusInternalServerError))
	d := b.delivery(t, destination(first.URL))
	b.work(t)
	companies := names(20)
	b.qualify(t, d, companies[:7]...)
	d = execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: org, Destination: destination(second.URL)}).State
	for _, id := range companies[7:] {
		b.qualify(t, d, id)
	}
	require.ElementsMatch(t, sequences(20), sequencesOf(first.await(t, 20)))
	require.ElementsMatch(t, slices.Repeat(sequences(13), 2), sequencesOf(second.await(t, 26)))
}

// sequences returns the numbers from 1 to last as a header has them.
func sequences(last int) []string {
	s := make([]string, last)
	for i := range s {
		s[i] = strconv.Itoa(i + 1)
	}
	return s
}

// sequencesOf returns the Ledger-Sequence of each request.
func sequencesOf(got []received) []string {
	s := make([]string, len(got))
	for i, g := range got {
		s[i] = g.header.Get("Ledger-Sequence")
	}
	return s
}

func TestNoEventHoldsASecretEvenIfTheDestinationRepeatsIt(t *testing.T) {
	t.Parallel()
	const (
		token  = "your-secret-token"
		secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	)
	b := setup(t)
	echo := newReceiver(t, ok)
	echo.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		said := req.Header.Get("Authorization")
		w.Header().Set("X-Echo", strings.Repeat("-", 190)+said)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(said + strings.Repeat("-", 1010-len(said)) + token + token))
	})
	broken := newSocket(t, says("HTTP/1.1 200 OK\r\nthe token is "+token+"\r\n\r\n"))
	var ids []domain.DestinationID
	var destinations []domain.Destination
	for _, url := range []string{echo.URL, broken} {
		dst := destination(url)
		dst.AuthType, dst.AuthSecret, dst.SigningSecret = domain.AuthBearer, b.secret(t, token), b.secret(t, secret)
		ids, destinations = append(ids, dst.ID), append(destinations, dst)
	}
	d := b.delivery(t, destinations...)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]

	said := b.events(t, domain.DispatchIDFor(handOver, ids[0]), 1)[0].(domain.AttemptFailed)
	require.Contains(t, said.ResponseBody, "Bearer *****", "the rest of what it said is kept")
	b.events(t, domain.DispatchIDFor(handOver, ids[1]), 1)
	rows, err := b.pool.Query(t.Context(), `SELECT e::text FROM events e`)
	require.NoError(t, err)
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var row string
		require.NoError(t, rows.Scan(&row))
		for _, part := range []string{token, token[:14], secret, strings.TrimPrefix(secret, "whsec_")} {
			require.NotContains(t, row, part)
		}
	}
	require.NoError(t, rows.Err())
	require.GreaterOrEqual(t, n, 6)
}

func TestSecretThatCannotBeOpenedSendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	sealed, open := destination(r.URL+"/sealed"), destination(r.URL+"/open")
	sealed.AuthType, sealed.AuthSecret = domain.AuthBearer, "sec_lost"
	d := b.delivery(t, sealed, open)
	reports := make(chan webhooks.Report, 10)
	b.cfg.Observe = func(r webhooks.Report) { reports <- r }
	b.work(t)
	b.qualify(t, d, "comp_1")
	require.Equal(t, open.ID, (<-reports).Destination)
	b.awaitCounts(t, d, map[domain.DispatchStatus]int64{domain.Delivered: 1, domain.Pending: 1})
	require.Len(t, r.all(), 1)
}
