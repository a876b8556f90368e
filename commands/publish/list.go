// Package publish makes the list true in files and devices: formats, split, stage, reload.
//
//	Set ──> Fit ──┬──> Format.Write: any writer
//	              └──> List.Write: split, staged, renamed together ──> reload, owed until it succeeds
//
// Where the list comes from is not its business, and it never prints: what is to be said is returned.
package publish

import (
	"fmt"
	"net/netip"

	"f2bc/aggregate"
	"f2bc/commands/human"
)

// A List is what is to be written.
type List struct {
	Set                *aggregate.Set
	Avoid              *aggregate.Set // what must stay free, none of it in Set; only for Fit
	Format             Format
	OnlyIPv4, OnlyIPv6 bool         // what Set holds by its reader's wish; never both
	Placeholder        netip.Prefix // an address for a file that would have none, if it is valid
	note               string       // for the header, after the number of prefixes
}

// A LimitError says what the list would be instead of what it may be. Nothing is written then.
type LimitError string

func (e LimitError) Error() string { return string(e) }

// Fit makes the list at most n prefixes long, n being 1 or more, at the cost of the fewest addresses that nobody
// reported: at most limit, IPv4 addresses and IPv6 /64s together. It returns what is to be said about them, nothing if
// there are none. The error is an *aggregate.BudgetError if it cannot be done, or a LimitError.
func (l *List) Fit(n int, limit uint64) (said string, err error) {
	fitted, extra, err := l.Set.Fit(n, l.Avoid)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d extra IPv4 addresses and %d extra IPv6 /64s", extra.IPv4, extra.IPv6)
	if extra.IPv6 > limit || extra.IPv4 > limit-extra.IPv6 {
		return "", LimitError(fmt.Sprintf("%d prefixes instead of %d would cover %s, more than %d",
			n, l.Set.Len(), text, limit))
	}
	if extra.IPv4+extra.IPv6 > 0 {
		said = fmt.Sprintf("%d prefixes instead of %d cover %s", fitted.Len(), l.Set.Len(), text)
	}
	l.Set, l.note = fitted, ", with "+text
	return said, nil
}

const headerBegin = "# f2bc: "

// header is the comment that a file begins with.
func (l *List) header() string {
	return headerBegin + human.Count(l.Set.Len(), "prefix", "prefixes") + l.note + "\n"
}
