package commands

import (
	"io"
	"iter"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/commands/publish"
	"f2bc/store"
)

// exportFormats are those of prefixes, and two that show bans: what writes them is made when the bans are read.
var exportFormats = append(slices.Clip(publish.Formats),
	publish.Format{Name: "json", Whole: true,
		Help: "each ban with first and last report, expiry, sources, reasons; what must never be banned carved out"},
	publish.Format{Name: "csv", Whole: true, Help: "the same as CSV"})

func showsBans(f publish.Format) bool { return f.Write == nil }

func writeBans(layout string, bans []store.Ban) func(io.Writer, *publish.List) error {
	return func(w io.Writer, l *publish.List) error {
		columns := []string{"prefix", "expires", "first", "last", "sources", "reasons"}
		return render(w, layout, columns, enforcedRows(bans, l.Set))
	}
}

// enforcedRows are the bans as far as they are in the list: one around an allow has a row for each prefix that is left.
func enforcedRows(bans []store.Ban, list *aggregate.Set) iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, b := range bans {
			for _, p := range enforced(b.Prefix, list) {
				if !yield(row{p, b.Expires, b.First, b.Last, b.Sources, b.Reasons}) {
					return
				}
			}
		}
	}
}

// enforced returns what of ban is in the list.
func enforced(ban netip.Prefix, list *aggregate.Set) []netip.Prefix {
	switch {
	case !list.Overlaps(ban):
		return nil
	case list.Contains(ban):
		return []netip.Prefix{ban}
	}
	var in aggregate.Set
	in.Add(ban)
	in.Keep(list)
	return in.Prefixes()
}
