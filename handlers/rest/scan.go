package rest

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions of this file take JSON apart without decoding it, so that what was sent is
// kept byte by byte. They MUST be given valid JSON.

// members returns the members of an object: names as text, and values as they are written.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := space(object, 0) + 1 // the brace
		for {
			i = space(object, i)
			if object[i] == '}' {
				return
			}
			end := valueEnd(object, i)
			name := text(object[i:end])
			i = space(object, space(object, end)+1) // the colon
			end = valueEnd(object, i)
			if !yield(name, object[i:end]) {
				return
			}
			if i = space(object, end); object[i] == ',' {
				i++
			}
		}
	}
}

// elements returns the elements of an array as they are written.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := space(array, 0) + 1 // the bracket
		for {
			i = space(array, i)
			if array[i] == ']' {
				return
			}
			end := valueEnd(array, i)
			if !yield(array[i:end]) {
				return
			}
			if i = space(array, end); array[i] == ',' {
				i++
			}
		}
	}
}

// space returns the place of the first byte from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// valueEnd returns the place after the value that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return textEnd(b, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch b[i] {
			case '"':
				i = textEnd(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	if n := bytes.IndexAny(b[i:], ",]} \n\r\t"); n >= 0 {
		return i + n
	}
	return len(b)
}

// textEnd returns the place after the text that begins at i.
func textEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// text returns what a text that is written so says.
func text(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	return s
}
