package commands

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"f2bc/store"
)

// cleanName makes s fit to be a source or a reason: no control characters, no blanks around it, at most 64 bytes, and
// otherwise if nothing is left. Two names are equal only when their bytes are.
func cleanName(s, otherwise string) string {
	s = strings.TrimSpace(stripControl(s))
	if len(s) > store.MaxName {
		cut := store.MaxName
		for utf8.ValidString(s) && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.TrimSpace(s[:cut])
	}
	if s == "" {
		return otherwise
	}
	return s
}

func stripControl(s string) string {
	if utf8.ValidString(s) {
		return strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, s)
	}
	// Not UTF-8: bytes of an unknown charset, of which only the ASCII control characters are known.
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c != 0x7f {
			b = append(b, c)
		}
	}
	return string(b)
}
