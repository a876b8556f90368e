package enforce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

// A list may cover exactly as much as max_coverage says, and IPv6 counts for nothing.
func TestCoverageIsExact(t *testing.T) {
	h := newHost(t)
	h.server.ban("16.0.0.0/8 17.0.0.0/16 2001:db8::/32")
	for p := range h.server.bans {
		h.server.bans[p] = fakeBan{forced: true}
	}
	exact := float64(1<<24+1<<16) / (1 << 32) * 100
	less := func(s *Settings) { s.MaxCoverage = exact - 1e-9 }
	h.want(t, "too much", h.runWith(t, less), "the list covers 0.392 % of all IPv4 addresses", "")
	all := "16.0.0.0/8 17.0.0.0/16 2001:db8::/32"
	h.want(t, "exact", h.runWith(t, func(s *Settings) { s.MaxCoverage = exact }), "", all)
}

// A connected network may be banned itself, or a part of it; only what is wider leaves it alone.
func TestNetworkItself(t *testing.T) {
	network := []routes.Entry{{Prefix: netip.MustParsePrefix("198.51.100.0/25"), Network: true}}
	for ban, want := range map[string]string{
		"198.51.100.0/24": "[198.51.100.128/25]",
		"198.51.100.0/25": "[198.51.100.0/25]", "198.51.100.0/26": "[198.51.100.0/26]",
	} {
		bans := neverban.Bans{Into: installed(network, 0)}
		bans.Add(netip.MustParsePrefix(ban), false)
		if got := fmt.Sprint(bans.Carve(&neverban.List{}, nil, nil).Prefixes()); got != want {
			t.Errorf("%s: %s, want %s", ban, got, want)
		}
	}
}

// What must stay reachable or never be banned is not installed, also where a brake holds; it goes where it is.
func TestNeverInstalled(t *testing.T) {
	for _, known := range []bool{true, false} {
		h := newHost(t)
		h.server.ban("1 2 3")
		h.want(t, "before", h.run(t), "", "1 2 3")
		h.allow, h.guard = []string{"203.0.113.2"}, []routes.Entry{{Prefix: prefixes("2")[0], Why: "next hop"}}
		failure := ""
		if !known {
			h.server.id, failure = "two", "not the store that this host knows"
		}
		h.want(t, fmt.Sprint("known ", known), h.run(t), failure, "3")
	}
}

// A pause that begins while routes are added takes them back.
func TestPauseInAStep(t *testing.T) {
	h := newHost(t)
	h.server.ban("1")
	h.want(t, "before", h.run(t), "", "1")
	h.server.ban("1 2")
	d, err := h.gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := h.confirm(d)(t.Context()); err != nil {
		t.Error(err)
	}
	if err := writePause(h.State, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.confirm(d)(t.Context()); err == nil {
		t.Error("confirmed in a pause")
	}
	h.server.pause = 0
	if err := errors.Join(Resume(h.State), h.State.Note(pauseFile, "{")); err != nil {
		t.Fatal(err)
	}
	if err := h.confirm(d)(t.Context()); err == nil {
		t.Error("confirmed where it is not known whether there is a pause")
	}
}

// A pause whose rules cannot be removed says so, and is one for the next run all the same; so does a flush.
func TestPauseOfADeafKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1")
		h.want(t, "before", h.run(t), "", "1")
		deaf := errors.New("no netlink")
		h.kernel.away = deaf
		if until, err := h.Pause(t.Context(), time.Minute); !errors.Is(err, deaf) || until != "" {
			t.Error(until, err)
		}
		h.kernel.away = nil
		h.want(t, "paused", h.run(t), "", "-1")
		h.kernel.away = deaf
		if _, err := h.again(h.State).Flush(t.Context()); !errors.Is(err, deaf) {
			t.Error(err)
		}
		h.kernel.away = nil
		time.Sleep(time.Hour)
		h.want(t, "until resume", h.run(t), "", "-1")
	})
}

// lateStore answers late when it is asked to confirm.
type lateStore struct {
	Store
	late time.Duration
}

func (s lateStore) Now(ctx context.Context) (store.Time, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(s.late):
		return s.Store.Now(ctx)
	}
}

// A store has five seconds to confirm additions.
func TestConfirmInTime(t *testing.T) {
	for late, want := range map[time.Duration]string{4999 * time.Millisecond: "1", 5001 * time.Millisecond: "-"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			h.server.ban("1")
			h.Open = func(ctx context.Context) (Store, error) {
				st, err := h.server.connect(ctx)
				return lateStore{st, late}, err
			}
			start := time.Now()
			err := h.Once(t.Context())
			if got := h.kernel.ours(); got != want || (err == nil) != (want == "1") || time.Since(start) > 5*time.Second {
				t.Errorf("%v: %q, %v", late, got, err)
			}
		})
	}
}
