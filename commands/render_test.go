package commands

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"f2bc/store"
)

// TestRenderHostileNames: a reason neither becomes a formula in a spreadsheet nor turns a line of a table round.
func TestRenderHostileNames(t *testing.T) {
	const hebrew = "\u05d0\u05d1"
	rows := slices.Values([]row{
		{netip.MustParsePrefix("203.0.113.6/32"), "=cmd()", []string{"+1", "x"}, anyName("@a"), -5, store.Time(0)},
		{netip.MustParsePrefix("2001:db8::/32"), "-2\x1b[1m", []string{hebrew}, anyName(hebrew), 7, store.Permanent},
	})
	columns := []string{"prefix", "source", "reasons", "reason", "n", "at"}
	for _, c := range []struct{ layout, want string }{
		{"csv", "prefix,source,reasons,reason,n,at\n203.0.113.6,'=cmd(),\"'+1,x\",'@a,-5,\n2001:db8::/32,'-2\\x1b[1m," + hebrew + "," + hebrew + ",7,permanent\n"},
		{"table", "PREFIX         SOURCE     REASONS  REASON  N   AT\n" +
			"203.0.113.6    =cmd()     +1,x     @a      -5  -\n" +
			"2001:db8::/32  -2\\x1b[1m  \u2068" + hebrew + "\u2069     \u2068" + hebrew + "\u2069    7   permanent\n"},
	} {
		var out strings.Builder
		if err := render(&out, c.layout, columns, rows); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.layout, err, out.String(), c.want)
		}
	}
}
