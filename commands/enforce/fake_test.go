package enforce

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
	"f2bc/store/state"
)

// fakeHost is an Enforcer with all that it talks to. What a test changes while it works is changed under a lock.
type fakeHost struct {
	*Enforcer
	kernel *fakeKernel
	server *fakeServer

	mu       sync.Mutex
	guard    []routes.Entry
	guardErr error
	allow    []string // this host's own never-ban list
	said     strings.Builder
}

// newHost returns a host that has never run, of an empty store.
func newHost(t testing.TB) *fakeHost {
	h := &fakeHost{kernel: &fakeKernel{}, server: newServer("one")}
	h.Enforcer = h.again(state.Dir(t.TempDir()))
	return h
}

// again returns the Enforcer of the next process on this host.
func (h *fakeHost) again(dir state.Dir) *Enforcer {
	return &Enforcer{
		Settings: Settings{Source: "web1", Version: "v1", MaxRoutes: 1000, MaxCoverage: 1, Interval: time.Second},
		Kernel:   h.kernel, State: dir, Say: h.say,
		Open: func(ctx context.Context) (Store, error) { return h.server.connect(ctx) },
		Guard: func(context.Context) ([]routes.Entry, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.guard, h.guardErr
		},
		Never: h.never,
	}
}

func (h *fakeHost) never(ctx context.Context, central []store.Protected) (*neverban.List, error) {
	h.mu.Lock()
	entries, err := neverban.ParseEntries(h.allow, "the configuration")
	own := neverban.Source{Entries: entries, Say: h.say}
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var texts []neverban.Text
	for _, p := range central {
		texts = append(texts, neverban.Text(p))
	}
	return own.List(ctx, texts)
}

func (h *fakeHost) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.said, format+"\n", args...)
}

// fakeKernel keeps the state in memory, and signals what somebody else does to it.
type fakeKernel struct {
	mu      sync.Mutex
	state   routes.State
	refuses map[netip.Prefix]error // additions and deletions that fail, alone
	away    error                  // of every call
	signals chan struct{}          // nil: nobody watches
	old     []routes.Route         // in the main table
	applied []routes.Plan          // all that were not empty
}

func (k *fakeKernel) Read(context.Context) (routes.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.state
	now.Ours = slices.Clone(now.Ours)
	return now, k.away
}

func (k *fakeKernel) Apply(_ context.Context, p routes.Plan) (r routes.Result, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away != nil {
		return r, k.away
	}
	if !p.IsEmpty() {
		k.applied = append(k.applied, p)
	}
	ours := map[netip.Prefix]bool{}
	for _, o := range k.state.Ours {
		ours[o] = true
	}
	change := func(op string, prefixes []netip.Prefix, done *int, there bool) {
		for _, x := range prefixes {
			if err := k.refuses[x]; err != nil {
				r.Failed = append(r.Failed, routes.Failure{Op: op, Prefix: x, Err: err})
				continue
			}
			ours[x] = there
			*done++
		}
	}
	change("add", p.Add, &r.Added, true)
	change("delete", p.Del, &r.Deleted, false)
	maps.DeleteFunc(ours, func(_ netip.Prefix, there bool) bool { return !there })
	k.state = k.state.After(routes.Plan{AddRules: p.AddRules, DelRules: p.DelRules})
	k.state.Ours = slices.SortedFunc(maps.Keys(ours), routes.Compare)
	return r, nil
}

func (k *fakeKernel) Watch(context.Context) (<-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away != nil {
		return nil, k.away
	}
	k.signals = make(chan struct{}, 1)
	return k.signals, nil
}

// meddle changes the state as somebody else does, who is told of where the channel is open.
func (k *fakeKernel) meddle(change func(*routes.State)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.state)
	select {
	case k.signals <- struct{}{}:
	default:
	}
}

// closeWatch ends the signals until the next Watch.
func (k *fakeKernel) closeWatch() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.signals)
	k.signals = nil
}

func (k *fakeKernel) Lookup(_ context.Context, addr netip.Addr) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rule := addr.Is4() && k.state.Rule4 || addr.Is6() && k.state.Rule6
	return rule && slices.ContainsFunc(k.state.Ours, func(p netip.Prefix) bool { return p.Contains(addr) }), k.away
}

func (k *fakeKernel) OldBlackholes(context.Context) ([]routes.Route, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.old), k.away
}

func (k *fakeKernel) DeleteOld(_ context.Context, old []routes.Route) (r routes.Result, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range old {
		if err := k.refuses[o.Prefix]; err != nil {
			r.Failed = append(r.Failed, routes.Failure{Op: "delete", Prefix: o.Prefix, Err: err})
			continue
		}
		k.old = slices.DeleteFunc(k.old, func(there routes.Route) bool { return there == o })
		r.Deleted++
	}
	return r, k.away
}

// ours returns our routes as text, "-" in front where not both rules are in place.
func (k *fakeKernel) ours() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := texts(k.state.Ours)
	if !k.state.Rule4 || !k.state.Rule6 {
		text = "-" + text
	}
	return text
}

// texts is short for people: n is 203.0.113.2n, so that no two of them make a wider prefix; anything else is as it is.
func texts(ps []netip.Prefix) string {
	var text []string
	for _, p := range ps {
		octet, short := strings.CutPrefix(aggregate.Text(p), "203.0.113.")
		if n, err := strconv.Atoi(octet); short && err == nil {
			text = append(text, fmt.Sprint(n/2))
		} else {
			text = append(text, aggregate.Text(p))
		}
	}
	return strings.Join(text, " ")
}

// prefixes is the inverse of texts.
func prefixes(text string) (ps []netip.Prefix) {
	for _, s := range strings.Fields(text) {
		if n, err := strconv.Atoi(s); err == nil {
			s = fmt.Sprint("203.0.113.", 2*n)
		}
		p, err := aggregate.ParsePrefix(s)
		if err != nil {
			panic(err)
		}
		ps = append(ps, p)
	}
	return ps
}
