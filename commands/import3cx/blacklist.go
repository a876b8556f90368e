package import3cx

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"f2bc/store"
	"f2bc/store/threecx"
)

// An entry of 3CX's blacklist whose time the table tells is reported like an event, with that time. Of the others only
// the end is known. Such an entry is reported with the time of now if the store knows of no ban by this source and
// reason that lasts as long, in force or lifted; so the store itself is the memory, and
//
//   - an entry read every minute is reported once, also when this host has lost its state;
//   - an unban stays one;
//   - an entry whose end has moved on, because the attacker came again, is banned again.
//
// An entry that was lifted here and is then made anew in 3CX with the same end, or with none, cannot be told from the
// old one: f2bc ban does it.

// sameEnd is how far two ends of one ban may be apart: 3CX enters an address in the blacklist and in the event log.
const sameEnd = 5 * time.Second

// minYear tells a time from what programs write for none (year 1, 1970).
const minYear = 2000

func (im *Import) blacklist(ctx context.Context) error {
	undated := map[netip.Prefix]threecx.Entry{} // with the latest end
	err := im.db.Blacklist(ctx, func(e threecx.Entry) error {
		im.read++
		if e.Time.Year() >= minYear {
			bantime := store.Forever
			if !e.Expires.IsZero() {
				bantime = e.Expires.Sub(e.Time)
			}
			return im.report(ctx, e.Prefix, e.Time, bantime, e.Description)
		}
		if old, ok := undated[e.Prefix]; !ok || end(e) > end(old) {
			undated[e.Prefix] = e
		}
		return nil
	}, im.skipped)
	if err != nil {
		return err
	}
	return im.undated(ctx, undated)
}

// end is when an entry ends, by the clock of the 3CX box: to set it right would move it when somebody sets that clock.
func end(e threecx.Entry) store.Time {
	if e.Expires.IsZero() {
		return store.Permanent
	}
	return store.TimeOf(e.Expires)
}

// undated reports entries without a time.
func (im *Import) undated(ctx context.Context, entries map[netip.Prefix]threecx.Entry) error {
	active, err := im.st.List(ctx, store.Filter{Source: im.Source}) // one read for nearly all of them
	if err != nil {
		return err
	}
	inForce := map[netip.Prefix]store.Ban{}
	for _, ban := range active {
		inForce[ban.Prefix] = ban
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(entries), netip.Prefix.Compare) {
		e := entries[prefix]
		reason := im.Reason(e.Description)
		ban := inForce[prefix]
		known := len(ban.Reasons) == 1 && ban.Reasons[0] == reason && lastsAsLong(ban.Expires, e)
		if known || im.refuses(prefix) {
			continue
		}
		if known, err = im.everReported(ctx, prefix, reason, e); err != nil {
			return err
		}
		bantime := store.Forever
		if !e.Expires.IsZero() {
			bantime = e.Expires.Sub(im.now.Std())
		}
		if known || bantime <= 0 { // over by the store's clock
			continue
		}
		fact := store.Fact{Prefix: prefix, Source: im.Source, Reason: reason, At: im.now, Bantime: bantime}
		if err := im.take(ctx, fact); err != nil {
			return err
		}
	}
	return nil
}

func lastsAsLong(expires store.Time, e threecx.Entry) bool {
	return expires == store.Permanent || expires >= end(e)-store.Time(sameEnd.Microseconds())
}

// everReported asks the store for a report like e, also a lifted one: the latest, which it keeps, and those of its
// history, which are kept for a time.
func (im *Import) everReported(ctx context.Context, prefix netip.Prefix, reason string, e threecx.Entry) (bool, error) {
	reports, _, err := im.st.About(ctx, prefix)
	if err != nil {
		return false, err
	}
	for _, r := range reports {
		if r.Prefix == prefix && r.Source == im.Source && r.Reason == reason && lastsAsLong(r.Expires, e) {
			return true, nil
		}
	}
	events, _, err := im.st.History(ctx, prefix, store.Filter{Source: im.Source, Reason: reason}, maxHistory)
	for _, ev := range events {
		if ev.Prefix == prefix && !ev.Lift && ev.Source == im.Source && ev.Reason == reason && lastsAsLong(ev.Expires(), e) {
			return true, nil
		}
	}
	return false, err
}

// maxHistory bounds how many events of one prefix are looked at.
const maxHistory = 1000
