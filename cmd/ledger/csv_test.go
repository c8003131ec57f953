package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// csvInput returns text as an input.
func csvInput(text string) *input {
	return &input{Reader: bufio.NewReaderSize(strings.NewReader(text), maxLine), sum: sha256.New()}
}

// readCSV returns the bodies of what text contains, and what is wrong with the others in their place.
func readCSV(tb testing.TB, text string, candidates bool, mapped ...string) (found []string, err error) {
	tb.Helper()
	m, err := parseMapping(mapped)
	require.NoError(tb, err)
	in := csvInput(text)
	r, err := newCSVReader(in, m, candidates)
	for err == nil {
		var rec record
		if rec, err = r.next(); err == nil && len(rec.faults) > 0 {
			found = append(found, reject{Line: rec.line, Faults: rec.faults}.String())
		} else if err == nil {
			found = append(found, string(rec.body))
		}
	}
	if errors.Is(err, io.EOF) {
		require.EqualValues(tb, len(text), in.taken, "all of the file is taken")
		err = nil
	}
	return found, err
}

// csvFile returns a new file with that content and a name that tells what it is.
func csvFile(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "leads.csv")
	require.NoError(tb, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestRowsBecomeCompaniesByHeaderMappingAndType(t *testing.T) {
	t.Parallel()
	got, err := readCSV(t, "company.id,Account,qualification_score,match_reasons,company.size:number,Tech,Public,company.address.city,Notes\r\n"+
		"c1,\"Acme \"\"&\"\"\nCorp\",85,Uses HubSpot; Big ,1.50,aws| react||,Yes,Zürich,x\r\n"+
		"c2,B,7,,,,,,\r\n", false, "company.name=Account", "company.technologies:list(|)=Tech", "company.public:boolean=Public")
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"company":{"address":{"city":"Zürich"},"id":"c1","name":"Acme \"&\"\nCorp","public":true,"size":1.50,"technologies":["aws","react"]},` +
			`"match_reasons":["Uses HubSpot","Big"],"qualification_score":85}`,
		`{"company":{"id":"c2","name":"B"},"qualification_score":7}`,
	}, got)
	got, err = readCSV(t, "company.id,company.name,Firm\nc1,A,B\n", true, "company.name=Firm")
	require.NoError(t, err)
	require.Equal(t, []string{`{"company":{"id":"c1","name":"B"}}`}, got, "--map goes before a name")
	for _, delimiter := range []string{";", "\t"} {
		got, err = readCSV(t, strings.ReplaceAll("company.id,company.name,attributes.x:number\nc1,A,2", ",", delimiter), true)
		require.NoError(t, err)
		require.Equal(t, []string{`{"attributes":{"x":2},"company":{"id":"c1","name":"A"}}`}, got)
	}
}

func TestAdjacentRowsOfACompanyAreOneWithAProspectEach(t *testing.T) {
	t.Parallel()
	got, err := readCSV(t, "company.id,company.name,company.city,prospect.id,prospect.email\n"+
		"c1,A,,p1,a@a\nc1,A,Bern,p2,\n\nc1,,Bern,,\nc2,B,,,\nc1,A,,p3,\n", true)
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"company":{"city":"Bern","id":"c1","name":"A"},"prospects":[{"email":"a@a","id":"p1"},{"id":"p2"}]}`,
		`{"company":{"id":"c2","name":"B"}}`,
		`{"company":{"id":"c1","name":"A"},"prospects":[{"id":"p3"}]}`,
	}, got)
}

func TestFlawsOfRowsNameLineColumnAndWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	got, err := readCSV(t, "company.id,company.name,Size,Public,prospect.id\n"+
		"c1,A,\"1,200\",perhaps,\nc2,B,,,p1\nc2,\"Bé\n\",3 k,,p2\nc3,C\nc4,D,-1,0,\n", true, "company.size:number=Size", "company.public:boolean=Public")
	require.NoError(t, err)
	require.Equal(t, []string{
		"line 2: column Size (company.size) must be a number such as 1200 or 0.5, with nothing between thousands and no unit; " +
			"column Public (company.public) must be true or false, yes or no, 1 or 0",
		"line 3: in line 4 column company.name differs from line 3: the rows of a company must agree, or leave the cell empty; " +
			"in line 4 column Size (company.size) must be a number such as 1200 or 0.5, with nothing between thousands and no unit",
		"line 6: must have 5 cells, as the header has, and has 2: is a delimiter missing, or a cell with one not in quotes?",
		`{"company":{"id":"c4","name":"D","public":false,"size":-1}}`,
	}, got)

	long := "company.id,company.name,prospect.id\n" + strings.Repeat("c1,A,"+strings.Repeat("p", 1000)+"\n", 1100) + "c2,B,\n"
	got, err = readCSV(t, long, true)
	require.NoError(t, err)
	require.Equal(t, []string{"line 2: the company has more than 1 MiB of rows", `{"company":{"id":"c2","name":"B"}}`}, got)
}

func TestFileWhoseRowsCannotBeReadIsReadUpToThere(t *testing.T) {
	t.Parallel()
	const head = "company.id,company.name\nc1,A\nc2,B\n"
	for text, want := range map[string]string{
		"c2,a \"quote\"\n":                       "line 4, character 6: a quote is out of place, or never closed, in the row that begins in line 4: write \"\" for a quote",
		"c2,\"open\nc3,C":                        "a quote is out of place, or never closed, in the row that begins in line 4: write \"\" for a quote",
		"c2,\"" + strings.Repeat("x\n", maxLine): "the row that begins in line 4 is longer than 1 MiB: is a quote in it never closed?",
		"c2,M\xfcller\n":                         "line 4, column company.name: it is not UTF-8: save the file as UTF-8, or convert it",
		"c\x002,B\n":                             "line 4, column company.id: it is not UTF-8",
	} {
		got, err := readCSV(t, head+text, true)
		require.ErrorContains(t, err, want)
		require.Equal(t, []string{`{"company":{"id":"c1","name":"A"}}`}, got, "the company before may go on in what cannot be read")
	}
}

func TestMappingThatDoesNotFitSaysWhy(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"company.name", "company.name=", "name=Account", "company=Account", "company.=A", "company.x:date=A", "company.x:list()=A"} {
		_, err := parseMapping([]string{entry})
		require.ErrorContains(t, err, strconv.Quote(entry)+" is not")
	}
	for want, try := range map[string][]string{
		"there is no column for company.id: name one by --map company.id=COLUMN; the columns are Id, company.name": {"Id,company.name"},
		"there is no column for prospect.id":                                               {"company.id,company.name,prospect.email"},
		"--map names the column Nome, and there is none: the columns are company.id, Name": {"company.id,Name", "company.name=Nome"},
		"--map names the column Name, and there are several":                               {"company.id,Name,Name", "company.name=Name"},
		"--map names qualification_score, which candidates do not have":                    {"company.id,Score", "qualification_score=Score"},
		"the columns company.a and company.a.b are for the same field":                     {"company.id,company.name,company.a,company.a.b"},
		"it is empty, and must begin with a header":                                        {""},
	} {
		_, err := readCSV(t, try[0]+"\n", true, try[1:]...)
		require.ErrorContains(t, err, want)
	}
	_, err := readCSV(t, "company.id,company.name\n", false)
	require.ErrorContains(t, err, "there is no column for qualification_score")
}

func TestCSVIsIngestedItsFaultsMendedAndIngestedAgain(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	path := csvFile(t, "\ufeffcompany.id,Account,Score,prospect.id,Notes\nc1,A,85,p1,x\nc1,A,85,p2,\nc2,B,101,,\"a\nb\"\nc3,,7,,\nc4,D,x,,\nc5,E,5,,\n")
	faults := path + ".faults"
	args := []string{"--map", "company.name=Account,qualification_score=Score"}
	out, errs, err := verb(t, "", ingestArgs(p.base, c.key, delivery, path, append(args, "--faults", faults)...)...)
	require.EqualError(t, err, "3 lines were rejected")
	require.Equal(t, "2 accepted, 0 duplicates, 3 rejected\n", out)
	require.Equal(t, "not sent, since no field comes from them: Notes\n", errs)
	lines := strings.SplitAfter(strings.TrimSpace(read(t, faults)), "\n")
	require.Len(t, lines, 3)
	require.JSONEq(t, `{"line":4,"faults":[{"column":"Score","field":"qualification_score","error":"must be from 0 to 100","provided":101}],`+
		`"csv":"company.id,Account,Score,prospect.id,Notes\nc2,B,101,,\"a\nb\"\n"}`, lines[0])
	require.Contains(t, lines[1], `{"line":6,"faults":[{"column":"Account","field":"company.name"`)
	require.Contains(t, lines[2], `{"line":7,"faults":[{"column":"Score","field":"qualification_score","error":"must be a number`)

	mended := file(t, strings.Replace(lines[0], "101,,", "99,,", 1)+lines[1]+strings.Replace(lines[2], "c4,D,x", "c4,D,4", 1))
	out, errs, err = verb(t, "", ingestArgs(p.base, c.key, delivery, mended, append(args, "--faults", faults)...)...)
	require.EqualError(t, err, "1 lines were rejected")
	require.Equal(t, "2 accepted, 0 duplicates, 1 rejected\n", out, errs)
	require.Contains(t, read(t, faults), `"csv":"company.id,Account,Score,prospect.id,Notes\nc3,,7,,\n"}`)
	require.Equal(t, []string{"c1", "c5", "c2", "c4"}, c.awaitFeed(t, delivery))
	feed := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery+"/companies", "")
	require.Len(t, feed["items"].([]any)[0].(map[string]any)["prospects"], 2)

	out, _, err = verb(t, "company.id,company.name,attributes.x\nc9,I,1\n", ingestArgs(p.base, c.key, delivery, "-", "--format", "csv", "--candidates")...)
	require.ErrorContains(t, err, "rules", out)
}

func TestKilledIngestOfCSVGoesOnAtACompany(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	c.must(t, http.StatusOK, http.MethodPut, "/api/v1/deliveries/"+delivery,
		`{"rules":[{"name":"Known","when":{"field":"company.name","op":"exists"}}]}`)
	content := "company.id,company.name,prospect.id\n"
	for n := range 300 {
		content += strings.Repeat(company(n)+",A,p\n", 1+n%3)
	}
	path := csvFile(t, strings.ReplaceAll(content, ",p\n", ",\n"))
	g := newGate(t, p.base, 5)
	args := ingestArgs(g.URL, c.key, delivery, path, "--chunk", "20", "--candidates")
	killed, _ := launch(t, nil, args...)
	<-g.taken
	killed.kill()
	out, errs, err := verb(t, "", args...)
	require.NoError(t, err)
	require.Equal(t, "0 disqualified, 280 accepted, 20 duplicates, 0 rejected\n", out, errs)
	require.Equal(t, "going on after line 200, where the last ingest ended\n", errs)

	whole := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries",
		`{"name":"Whole","rules":[{"name":"Known","when":{"field":"company.name","op":"exists"}}]}`)["id"].(string)
	_, _, err = verb(t, "", ingestArgs(p.base, c.key, whole, path, "--candidates")...)
	require.NoError(t, err)
	require.Equal(t, c.awaitFeed(t, whole), c.awaitFeed(t, delivery), "as an uninterrupted ingest leaves them")
}

func TestMappingThatTheREADMEShowsIsTaken(t *testing.T) {
	t.Parallel()
	shown := regexp.MustCompile("`ledger ingest leads.csv --map (\\S+)`").FindStringSubmatch(read(t, "../../README.md"))
	require.Len(t, shown, 2)
	p, c, delivery := setupIngest(t)
	path := csvFile(t, "Account,company.name,Website,Staff,qualification_score\ncomp_1,A,a.example,12,85\n")
	_, errs, err := verb(t, "", ingestArgs(p.base, c.key, delivery, path, "--map", shown[1])...)
	require.NoError(t, err)
	require.Empty(t, errs)
	require.Equal(t, []string{"comp_1"}, c.awaitFeed(t, delivery))
	feed := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery+"/companies", "")
	got := feed["items"].([]any)[0].(map[string]any)
	require.Equal(t, "a.example", got["domain"])
	require.InDelta(t, 12, got["employees"], 0)
}
