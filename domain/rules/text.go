package rules

import (
	"strings"
	"unicode"
)

// fold returns what a text is compared by: the same for all that [strings.EqualFold] holds to be one.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII { // the least of these is the capital letter, of k and s too
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, s)
}

// key returns what a value is compared by, and false for one that equals nothing: a list, an object
// or null.
func key(value any) (any, bool) {
	switch v := value.(type) {
	case string:
		return fold(v), true
	case float64, bool:
		return v, true
	}
	return nil, false
}
