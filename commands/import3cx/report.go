package import3cx

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"f2bc/aggregate"
	"f2bc/store"
	"f2bc/store/threecx"
)

const (
	batch     = 2000             // reports in memory
	maxFuture = 30 * time.Second // the store refuses reports that are more than twice as far ahead
)

func (im *Import) event(ctx context.Context, e threecx.Event) error {
	im.read++
	bantime := e.Bantime
	if bantime == 0 {
		bantime = im.Bantime
	}
	return im.report(ctx, netip.PrefixFrom(e.Addr, e.Addr.BitLen()), e.Time, bantime, e.Reason)
}

// report takes up what happened at a time of the box's clock, unless it must not be reported. own is the phone system's
// reason.
func (im *Import) report(ctx context.Context, p netip.Prefix, at time.Time, bantime time.Duration, own string) error {
	fact := store.Fact{Prefix: p, Source: im.Source, Reason: im.Reason(own), At: im.kept.date(at), Bantime: bantime}
	if fact.At <= 0 || bantime <= 0 {
		im.Say("skipped %s at %s for %v: these times make no sense", aggregate.Text(p), at.Format(time.RFC3339), bantime)
		im.withheld++
		return nil
	}
	if fact.At > im.now.Add(maxFuture) {
		// Not with the time of now: that would be another one at each reading. Its time will come.
		im.Say("%s at %s is dated ahead of the store's clock and is reported when that time comes; if it is past already,"+
			" --timezone names the zone of 3CX's times", aggregate.Text(p), at.Format(time.RFC3339))
		im.withheld++
		return nil
	}
	if im.refuses(p) {
		return nil
	}
	im.kept.Read = later(im.kept.Read, at)
	return im.take(ctx, fact)
}

// refuses names a prefix that must not be reported. That is no failure: cron goes on with the routes.
func (im *Import) refuses(p netip.Prefix) bool {
	if err := im.never.Refuse(p, false); err != nil {
		im.Say("%v", err)
	} else if im.allowed.Overlaps(p) {
		im.Say("%s is not reported: the phone system allows it, or a part of it", aggregate.Text(p))
	} else {
		return false
	}
	im.withheld++
	return true
}

func (im *Import) take(ctx context.Context, fact store.Fact) error {
	im.facts = append(im.facts, fact)
	if len(im.facts) < batch {
		return nil
	}
	return im.write(ctx)
}

// write writes what was taken up, or shows it.
func (im *Import) write(ctx context.Context) error {
	im.reported += len(im.facts)
	facts := im.facts
	im.facts = im.facts[:0]
	if im.DryRun == nil {
		return im.st.Write(ctx, facts)
	}
	for _, f := range facts {
		expires := "permanent"
		if f.Expires() != store.Permanent {
			expires = f.Expires().Std().Format(time.RFC3339)
		}
		at := f.At.Std().Format(time.RFC3339Nano)
		line := fmt.Sprintf("%s %s until %s %s %s", at, aggregate.Text(f.Prefix), expires, f.Source, f.Reason)
		if err := im.DryRun(line); err != nil {
			return err
		}
	}
	return nil
}
