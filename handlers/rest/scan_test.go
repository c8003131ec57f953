package rest_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// FuzzScan holds the scanner to encoding/json on whatever is valid.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : 1 , "b":"x\"}," ,"c":[{},[ ]], "d\u0061":{"e":-1.5e3},"f":null}`, `[ ]`, `[1,"]",{"a":[]},true ]`, `{"":""}`,
		"{\"a\":1\n,\"b\":2\r\n}", `{"\\":"\\\\\""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return
		}
		switch trimmed := bytes.TrimSpace(b); trimmed[0] {
		case '{':
			want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
			require.NoError(t, json.Unmarshal(b, &want))
			for name, value := range rest.Members(b) {
				got[string([]rune(name))] = value
			}
			if bytes.ContainsRune(b, '\uFFFD') || !bytes.Equal(b, []byte(string([]rune(string(b))))) {
				return // names that are no text are not for us
			}
			require.Equal(t, want, got)
		case '[':
			var want, got []json.RawMessage
			require.NoError(t, json.Unmarshal(b, &want))
			for element := range rest.Elements(b) {
				got = append(got, element)
			}
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, want[i], got[i])
			}
		}
	})
}
