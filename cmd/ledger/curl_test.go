package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A curl is a curl command, to be sent without curl.
type curl struct {
	method, url, body string
	header            http.Header
	output            string // file that the answer goes to; "": none
}

// curls returns the curl commands of a text, each of which begins a line.
func curls(tb testing.TB, text string) (found []curl) {
	tb.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "curl ") {
			found = append(found, newCurl(tb, shellWords(text)))
		}
		text = text[len(line):] // which a command may go beyond
	}
	return found
}

// newCurl returns the command with those words.
func newCurl(tb testing.TB, words []string) curl {
	tb.Helper()
	c := curl{header: http.Header{}}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-X":
			i++
			c.method = words[i]
		case "-H":
			i++
			name, value, ok := strings.Cut(words[i], ": ")
			require.True(tb, ok, words[i])
			c.header.Set(name, value)
		case "-d":
			i++
			c.body = words[i]
		case "-o":
			i++
			c.output = words[i]
		default:
			require.Empty(tb, c.url, "curl is not known to take %s", words[i])
			c.url = words[i]
		}
	}
	if c.method == "" {
		c.method = http.MethodGet
		if c.body != "" {
			c.method = http.MethodPost
		}
	}
	return c
}

// shellWords returns the words of the command with which a text begins. Variables are left as
// they are.
func shellWords(text string) (words []string) {
	var word strings.Builder
	var quote rune
	var within, escaped bool
	end := func() {
		if within {
			words = append(words, word.String())
		}
		word.Reset()
		within = false
	}
	for _, r := range text {
		switch {
		case escaped:
			if escaped = false; r != '\n' {
				word.WriteRune(r)
			}
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, within = r, true
		case r == '\n':
			end()
			return words
		case r == ' ':
			end()
		default:
			within = true
			word.WriteRune(r)
		}
	}
	end()
	return words
}

// send sends the command's request, which has to be answered with status, and returns the
// answer's fields.
func (c curl) send(tb testing.TB, status int) map[string]any {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), c.method, c.url, strings.NewReader(c.body))
	require.NoError(tb, err)
	req.Header = c.header.Clone()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(tb, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	require.Equal(tb, status, resp.StatusCode, "%s %s: %s", c.method, c.url, answer)
	var fields map[string]any
	if len(answer) > 0 {
		require.NoError(tb, json.Unmarshal(answer, &fields), string(answer))
	}
	return fields
}
