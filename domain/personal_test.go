package domain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
)

// A drawer is a cipher that keeps what it seals, and can erase subjects.
type drawer struct {
	number int64
	kept   map[string][]byte // by what was returned as sealed
	erased map[string]bool
}

// newDrawer returns an empty drawer.
func newDrawer(number int64) *drawer {
	return &drawer{number: number, kept: map[string][]byte{}, erased: map[string]bool{}}
}

func (d *drawer) Number() int64               { return d.number }
func (d *drawer) Holds(subject []string) bool { return !d.erased[strings.Join(subject, "\x00")] }

func (d *drawer) Seal(subject []string, place string, plain []byte) ([]byte, error) {
	ticket := strings.Join(subject, "\x00") + "\x00\x00" + place
	d.kept[ticket] = bytes.Clone(plain)
	return []byte(ticket), nil
}

func (d *drawer) Open(subject []string, place string, sealed []byte) ([]byte, bool, error) {
	if !d.Holds(subject) {
		return nil, false, nil
	}
	if string(sealed) != strings.Join(subject, "\x00")+"\x00\x00"+place {
		return nil, true, errors.New("it was sealed elsewhere")
	}
	return d.kept[string(sealed)], true, nil
}

// compact returns JSON without white space, which is how it is stored.
func compact(t require.TestingT, text string) json.RawMessage {
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(text)))
	return b.Bytes()
}

// drawProspect draws one as customers have it, with an ID.
func drawProspect(t *rapid.T, id string) string {
	return rapid.SampledFrom([]string{
		`{"id":"ID","email":"jane.doe@acme.com","tags":[1.50, "a , b"]}`,
		`{ "first_name" : "Ja\u006ee <\u2028&\/>", "id" : "ID" }`,
		`{"id":"other","id":"ID","n":12345678901234567890.10,"nul":"\u0000","half":"\ud800"}`,
		"{\n\t\"id\": \"ID\",\n\t\"x\": {\"id\": \"inner\"}\n}",
		`{"ID":"ID"}`,
	}).Draw(t, "prospect "+id)
}

// What was sealed opens to what would have been stored in the clear, byte for byte, but for what was erased.
func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p1", "p2", "p3", "p/4", `"5"`}), 0, 5, rapid.ID).Draw(t, "ids")
		var items, left, gone []string
		d := newDrawer(7)
		for _, id := range ids {
			quoted, err := json.Marshal(id)
			require.NoError(t, err)
			item := strings.ReplaceAll(drawProspect(t, id), `"ID"}`, string(quoted)+"}")
			item = strings.ReplaceAll(item, `"id":"ID"`, `"id":`+string(quoted))
			item = strings.ReplaceAll(item, `"id" : "ID"`, `"id" : `+string(quoted))
			item = strings.ReplaceAll(item, `"id": "ID"`, `"id": `+string(quoted))
			items = append(items, item)
			if rapid.Bool().Draw(t, "erased") {
				gone = append(gone, id)
			} else {
				left = append(left, item)
			}
		}
		want := compact(t, "["+strings.Join(left, ",")+"]")
		list := json.RawMessage("[" + strings.Join(items, " , ") + "]")
		attributes := json.RawMessage(`{ "headcount": 120 }`)
		qualified := domain.CompanyQualified{HandOver: "del_1", Organisation: acme, Delivery: dcf, CompanyID: "comp_1", Prospects: list}
		disqualified := domain.CompanyDisqualified{Organisation: acme, Delivery: dcf, CompanyID: "comp_1", Prospects: list, Attributes: attributes}
		for _, e := range []domain.Telling{qualified, disqualified} {
			told, err := e.ProspectIDs()
			require.NoError(t, err)
			require.ElementsMatch(t, ids, told)
			if require.Equal(t, len(ids) == 0 && !strings.Contains(e.EventType(), "dis"), e.Bare()); e.Bare() {
				continue
			}
			sealed, err := e.Sealed(d)
			require.NoError(t, err)
			stored, err := json.Marshal(sealed)
			require.NoError(t, err)
			require.NotContains(t, string(stored), "jane.doe")
			told, err = sealed.(domain.Telling).ProspectIDs()
			require.NoError(t, err)
			require.ElementsMatch(t, ids, told)
			for _, subject := range e.Subjects(gone) {
				d.erased[strings.Join(subject, "\x00")] = true
			}
			require.EqualValues(t, 7, sealed.(domain.Personal).SealedBy())
			opened, err := sealed.(domain.Personal).Opened(d)
			require.NoError(t, err)
			require.Zero(t, opened.(domain.Personal).SealedBy())
			switch e := opened.(type) {
			case domain.CompanyQualified:
				require.Equal(t, string(want), string(compact(t, string(e.Prospects))))
			case domain.CompanyDisqualified:
				require.Equal(t, string(want), string(e.Prospects))
				require.Nil(t, e.Attributes, "they may tell of whoever was erased")
			}

			zero := newDrawer(0)
			zero.erased = d.erased
			clear, err := e.Opened(zero)
			require.NoError(t, err)
			told, err = clear.(domain.Telling).ProspectIDs()
			require.NoError(t, err)
			require.Len(t, told, len(ids)-len(gone), "what was recorded in the clear is not shown")
			if len(gone) == 0 {
				if c, ok := clear.(domain.CompanyQualified); ok {
					require.Equal(t, string(list), string(c.Prospects))
				}
			}
			d.erased = map[string]bool{}
		}
	})
}

func TestAnswersAreSealedForTheirHandOver(t *testing.T) {
	t.Parallel()
	d := newDrawer(7)
	a := domain.Attempt{Dispatch: "dsp_1", HandOver: "del_1", Number: 2, Organisation: acme, ResponseBody: `{"stored":"Jane Doe"}`}
	for _, e := range []domain.Personal{domain.AttemptSucceeded{Attempt: a}, domain.AttemptFailed{Attempt: a, Error: "500"}} {
		sealed, err := e.Sealed(d)
		require.NoError(t, err)
		require.NotContains(t, encode(t, sealed), "Jane")
		require.EqualValues(t, 7, sealed.(domain.Personal).SealedBy())
		opened, err := sealed.(domain.Personal).Opened(d)
		require.NoError(t, err)
		require.Equal(t, e, opened)
		d.erased[strings.Join(domain.SubjectOfAnswers("del_1"), "\x00")] = true
		opened, err = sealed.(domain.Personal).Opened(d)
		require.NoError(t, err)
		require.NotContains(t, encode(t, opened), "response_body")
		d.erased = map[string]bool{}
	}
	notice := domain.AttemptFailed{Attempt: domain.Attempt{Dispatch: "dsp_1", Event: domain.OnDispatchFailed, ResponseBody: "no"}}
	require.True(t, notice.Bare(), "what is answered to an operational event is about nobody")
}

func TestWhatIsSealedIsNeverSent(t *testing.T) {
	t.Parallel()
	e := domain.CompanyQualified{HandOver: "del_1", Delivery: dcf, CompanyID: "comp_1", Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[{"id":"p1"}]`)}
	sealed, err := e.Sealed(newDrawer(1))
	require.NoError(t, err)
	_, err = domain.PayloadOf(sealed, time.Now())
	require.ErrorContains(t, err, "hand-over del_1: write payload: its prospects are sealed")
}

func TestAnEMailAddressIsFoundWhereverItStands(t *testing.T) {
	t.Parallel()
	list := json.RawMessage(`[
		{"id":"p1","email":"Jane.Doe@Acme.com","score":1e400}, {"id":"p2","contact":{"mails":["x@acme.com"," JANE.DOE@ACME.COM "]}},
		{"id":"p3","email":"jane.doe@acme.com.au"}, {"id":"p4","note":"jane.doe@acme.com left"}, {"id":"p5","jane.doe@acme.com":true}
	]`)
	ids, err := domain.ProspectsWith("jane.doe@acme.com", list)
	require.NoError(t, err)
	require.Equal(t, []string{"p1", "p2"}, ids)
}
